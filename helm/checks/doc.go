// Package checks holds the chart beside it to what it promises, without a
// cluster: make chart runs it. It is a module of its own, so that nothing of Helm
// and Kubernetes becomes a part of Holdfast.
//
// The chart is rendered as Helm renders it, for each row of a table of values
// and for every two rows together. Each row says what has to come of its values,
// and every result has to be
//
//   - accepted by helm lint --strict;
//   - valid by the JSON schemas of Kubernetes, which are made from the API
//     description in Kubernetes' own source, and by the types that Prometheus
//     operator, cert-manager and Gateway API publish for theirs;
//   - within the pod security level "restricted", by Kubernetes' own judgement;
//   - whole: selectors select the nodes, references lead to something, nothing is
//     there twice, and nothing that Kubernetes refuses to change ever changes.
//
// Beyond that: values that the schema must refuse, the README as helm-docs makes
// it, rules as Prometheus parses them, and the flags and commands of the real
// binary, by which the chart calls it.
//
// The files in deploy/ that say the same elsewhere are held to it as well: the
// compose file, the manifests without Helm, and what Prometheus scrapes.
package checks
