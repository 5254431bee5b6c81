package main

import (
	"context"
	"errors"
	"fmt"
)

// manyObjects is the number of objects that the increments are spread over.
const manyObjects = 1000

// measureThroughput compares durable increments, on many objects and on one,
// with an empty handler of net/http.
func measureThroughput(ctx context.Context, o options, dir string, t *table) (err error) {
	node, err := startHoldfast(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.stop()) }()
	bare, err := startSelf(ctx, roleEmpty)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.stop()) }()

	many := load{addresses: []string{node.clients}, clients: o.clients, path: manyIncrements(o.clients)}
	one := load{addresses: []string{node.clients}, clients: o.clients, path: func(int, int) string { return "/objects/Counter/one/increment" }}
	empty := load{addresses: []string{bare.clients}, clients: o.clients, path: func(int, int) string { return "/objects/Counter/one/increment" }}

	if _, err := many.run(ctx, o.slice); err != nil { // warms up: the objects come to life
		return err
	}
	var rates [3][]float64
	var shares [2][]float64
	for range o.rounds {
		var turn [3]float64
		for i, l := range []load{many, one, empty} {
			result, err := l.run(ctx, o.slice)
			if err != nil {
				return err
			}
			turn[i] = result.rate
			rates[i] = append(rates[i], result.rate)
		}
		shares[0] = append(shares[0], turn[0]/turn[2])
		shares[1] = append(shares[1], turn[1]/turn[2])
	}
	for i, what := range []string{fmt.Sprintf("%d objects", manyObjects), "1 object"} {
		t.add(row{
			what:     fmt.Sprintf("durable increments/s, %s, %d connections", what, o.clients),
			holdfast: fmt.Sprintf("%.0f", median(rates[i])),
			other:    fmt.Sprintf("%.0f", median(rates[2])),
			ratio:    fmt.Sprintf("%.2f", median(shares[i])),
			aim:      []string{">= 0.50", ">= 0.33"}[i],
		})
	}
	return nil
}
