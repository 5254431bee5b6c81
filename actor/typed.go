package actor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
)

// Get reads a value that Put stored. ok is false if there is none.
func Get[T any](ctx context.Context, kv KV, key string) (value T, ok bool, err error) {
	stored, ok, err := kv.getTagged(ctx, key)
	if err != nil || !ok {
		return value, false, err
	}
	err = decode(key, stored, &value)
	return value, err == nil, err
}

// Put stores a value as JSON. Later changes of value have no effect on what is stored.
func Put[T any](ctx context.Context, kv KV, key string, value T) error {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false) // what a user wrote comes back as it was written
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("actor: encode value of key %q: %w", key, err)
	}
	return kv.putTagged(ctx, tagJSON, key, bytes.TrimSuffix(data.Bytes(), []byte("\n")))
}

// TypedEntry is a key with its decoded value.
type TypedEntry[T any] struct {
	Key   string
	Value T
}

// List reads values that Put stored.
func List[T any](ctx context.Context, kv KV, opt ListOptions) ([]TypedEntry[T], error) {
	entries, err := kv.listTagged(ctx, opt)
	if err != nil {
		return nil, err
	}
	typed := make([]TypedEntry[T], len(entries))
	for i, e := range entries {
		typed[i].Key = e.Key
		if err := decode(e.Key, e.Value, &typed[i].Value); err != nil {
			return nil, err
		}
	}
	return typed, nil
}

func decode(key string, stored []byte, value any) error {
	if len(stored) == 0 || stored[0] != tagJSON {
		return fmt.Errorf("%w: key %q", ErrEncoding, key)
	}
	if err := json.Unmarshal(stored[1:], value); err != nil {
		return fmt.Errorf("actor: decode value of key %q: %w", key, err)
	}
	return nil
}
