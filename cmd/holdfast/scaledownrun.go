package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

// scaleDown takes the members of a row (holdfast-0, holdfast-1, …) from a number on
// out of the cluster.
type scaleDown struct {
	onlooker

	prefix   string
	replicas int // members that stay
	force    bool
	tell     io.Writer

	decommission func(ctx context.Context, node placement.NodeID, force bool) (departure, error)
	recommission func(ctx context.Context, node placement.NodeID) (departure, error)
}

// run returns when all members beyond the number have left. The order is: look,
// refuse what would be refused half way, mark all, wait for all.
func (s scaleDown) run(ctx context.Context) ([]departure, error) {
	o, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	beyond, err := s.beyond(o)
	if err != nil {
		return nil, err
	}
	if len(beyond) == 0 {
		_, err := fmt.Fprintf(s.tell, "No member is called %s%d or higher: there is nothing to do.\n", s.prefix, s.replicas)
		return []departure{}, err
	}
	if err := s.admissible(o, beyond); err != nil {
		return nil, err
	}
	if err := s.mark(ctx, o, beyond); err != nil {
		return nil, err
	}
	left, err := farewell{onlooker: s.onlooker, tell: s.tell}.wait(ctx, beyond)
	if errors.Is(err, errGoesOn) || errors.Is(err, errNotKnown) {
		return nil, fmt.Errorf("%s: %w; run this again to wait on", names(beyond), err)
	}
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(s.tell, "%s: left the cluster. What they ran on may be taken away, and their data deleted.\n", names(beyond))
	return left, err
}

// beyond gives the members of the row that are to leave and have not, the highest
// number first.
func (s scaleDown) beyond(o cluster.Overview) ([]placement.NodeID, error) {
	numbers := make(map[placement.NodeID]int)
	var leave, all []placement.NodeID
	for _, node := range o.Nodes {
		all = append(all, node.Name)
		number, ok := ordinal(string(node.Name), s.prefix)
		if !ok {
			continue
		}
		numbers[node.Name] = number
		if number >= s.replicas && node.State != "left" {
			leave = append(leave, node.Name)
		}
	}
	if len(numbers) == 0 {
		return nil, fmt.Errorf("no member of the cluster is called %q and a number, so --prefix is wrong; the members are %s", s.prefix, names(all))
	}
	slices.SortFunc(leave, func(a, b placement.NodeID) int { return cmp.Compare(numbers[b], numbers[a]) })
	return leave, nil
}

// ordinal gives the number of a name that is the prefix and a decimal number as
// Kubernetes writes it: "-03" and "-3x" are other people's names.
func ordinal(name, prefix string) (int, bool) {
	text, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	number, err := strconv.Atoi(text)
	return number, err == nil && strconv.Itoa(number) == text && number >= 0
}

// admissible refuses before anything is changed what the control leader would
// refuse when some were leaving already. It has the last word in any case.
func (s scaleDown) admissible(o cluster.Overview, beyond []placement.NodeID) error {
	left, marked := 0, 0
	for _, node := range o.Nodes {
		switch {
		case !slices.Contains(beyond, node.Name):
			if node.State == "in" {
				left++
			}
		case node.State == "leaving":
			marked++
		}
	}
	switch {
	case marked == len(beyond):
		return nil // they were let go before
	case left == 0:
		return fmt.Errorf("refused: no node would be left without %s. Nothing was changed", names(beyond))
	case left < placement.Copies && len(o.Nodes) >= placement.Copies && !s.force:
		return fmt.Errorf("refused: without %s %d of %d nodes would be left, and with fewer than %d the loss of one can stop or lose shards. Nothing was changed; --force does it nevertheless",
			names(beyond), left, len(o.Nodes), placement.Copies)
	}
	return nil
}

// mark lets the nodes go that are not going yet. If one is refused, those that were
// let go before it are taken back.
func (s scaleDown) mark(ctx context.Context, o cluster.Overview, beyond []placement.NodeID) error {
	var done []placement.NodeID
	for _, node := range beyond {
		if departureOf(o, node).State == "leaving" {
			continue
		}
		err := s.letGo(ctx, node)
		if err == nil {
			done = append(done, node)
			continue
		}
		err = fmt.Errorf("decommission %s: %w", node, err)
		switch {
		case len(done) == 0:
			return err
		case passing(err):
			return fmt.Errorf("%w; %s: leaving already. Run this again", err, names(done))
		default:
			return s.takeBack(ctx, done, err)
		}
	}
	return nil
}

// letGo decommissions a node. Whoever answers may just be starting, or be out of the
// cluster itself, so it asks again if that may help.
func (s scaleDown) letGo(ctx context.Context, node placement.NodeID) error {
	began := time.Now()
	for {
		_, err := s.decommission(ctx, node, s.force)
		if err == nil {
			return nil
		}
		if !passing(err) {
			// An earlier run's decommission may just be over: that is what was wanted.
			o, lookErr := s.look(ctx)
			if lookErr == nil && departureOf(o, node).State == "left" {
				return nil
			}
			return err
		}
		if time.Since(began) >= s.patience {
			return err
		}
		if err := s.rest(ctx); err != nil {
			return err
		}
	}
}

// takeBack undoes what was done before a refusal, and says what has become of it.
func (s scaleDown) takeBack(ctx context.Context, done []placement.NodeID, refusal error) error {
	var errs []error
	for _, node := range done {
		if _, err := s.recommission(ctx, node); err != nil {
			errs = append(errs, fmt.Errorf("%s was let go before and goes on leaving, because it could not be taken back: %w", node, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w; %w", refusal, err)
	}
	return fmt.Errorf("%w. %s: let go before and taken back", refusal, names(done))
}

// names lists nodes for people.
func names(nodes []placement.NodeID) string {
	list := make([]string, len(nodes))
	for i, node := range nodes {
		list[i] = string(node)
	}
	return strings.Join(list, ", ")
}
