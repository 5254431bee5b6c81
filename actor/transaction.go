package actor

import (
	"context"
	"time"
)

// Transaction is the storage within Storage.Transaction. It can be used only
// until the function ends or Rollback was called; after that every method
// returns ErrRolledBack.
type Transaction struct {
	*Storage
	over bool
	back bool
}

// Transaction runs f; if f returns an error or panics, or Rollback was called,
// what f wrote to keys and the alarm is undone, and an error of f is returned. The
// activation goes on. Nothing else of the object runs meanwhile, and outside
// waits in f return ErrInTransaction. Transactions may be nested: an inner one
// that is undone leaves the outer as it was. Sockets take no part.
func (s *Storage) Transaction(ctx context.Context, f func(ctx context.Context, tx *Transaction) error) error {
	act := s.act
	act.mu.Lock()
	ev, err := act.enterLocked(ctx)
	if err != nil {
		act.mu.Unlock()
		return err
	}
	ev.tx++
	mark := act.view.begin()
	alarm, change := act.alarm, act.changes.alarm
	touched := alarm.run != nil && alarm.run.touched
	act.mu.Unlock()

	tx := &Transaction{Storage: s}
	done := false
	defer func() {
		act.mu.Lock()
		defer act.mu.Unlock()
		tx.over = true
		ev.tx--
		keep := done && !tx.back
		act.view.end(mark, keep)
		if !keep {
			act.alarm, act.changes.alarm = alarm, change
			if alarm.run != nil {
				alarm.run.touched = touched
			}
		}
	}()
	if err := f(ctx, tx); err != nil {
		return err
	}
	done = true
	return nil
}

// Rollback undoes what the transaction wrote. Transaction then returns f's error, or nil.
func (t *Transaction) Rollback() { t.back = true }

func (t *Transaction) usable() error {
	if t.over || t.back {
		return ErrRolledBack
	}
	return nil
}

// Get implements KV.
func (t *Transaction) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := t.usable(); err != nil {
		return nil, false, err
	}
	return t.Storage.Get(ctx, key)
}

// GetMany implements KV.
func (t *Transaction) GetMany(ctx context.Context, keys []string) (map[string][]byte, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	return t.Storage.GetMany(ctx, keys)
}

// Put implements KV.
func (t *Transaction) Put(ctx context.Context, key string, value []byte) error {
	return t.putTagged(ctx, tagRaw, key, value)
}

// PutMany implements KV.
func (t *Transaction) PutMany(ctx context.Context, values map[string][]byte) error {
	if err := t.usable(); err != nil {
		return err
	}
	return t.Storage.PutMany(ctx, values)
}

// Delete implements KV.
func (t *Transaction) Delete(ctx context.Context, key string) (bool, error) {
	if err := t.usable(); err != nil {
		return false, err
	}
	return t.Storage.Delete(ctx, key)
}

// DeleteMany implements KV.
func (t *Transaction) DeleteMany(ctx context.Context, keys []string) (int, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	return t.Storage.DeleteMany(ctx, keys)
}

// List implements KV.
func (t *Transaction) List(ctx context.Context, opt ListOptions) ([]Entry, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	return t.Storage.List(ctx, opt)
}

// Alarm is Storage.Alarm.
func (t *Transaction) Alarm(ctx context.Context) (at time.Time, ok bool, err error) {
	if err := t.usable(); err != nil {
		return time.Time{}, false, err
	}
	return t.Storage.Alarm(ctx)
}

// SetAlarm is Storage.SetAlarm.
func (t *Transaction) SetAlarm(ctx context.Context, at time.Time) error {
	if err := t.usable(); err != nil {
		return err
	}
	return t.Storage.SetAlarm(ctx, at)
}

// DeleteAlarm is Storage.DeleteAlarm.
func (t *Transaction) DeleteAlarm(ctx context.Context) error {
	if err := t.usable(); err != nil {
		return err
	}
	return t.Storage.DeleteAlarm(ctx)
}

// Transaction starts a transaction in this one.
func (t *Transaction) Transaction(ctx context.Context, f func(ctx context.Context, tx *Transaction) error) error {
	if err := t.usable(); err != nil {
		return err
	}
	return t.Storage.Transaction(ctx, f)
}

func (t *Transaction) getTagged(ctx context.Context, key string) ([]byte, bool, error) {
	if err := t.usable(); err != nil {
		return nil, false, err
	}
	return t.Storage.getTagged(ctx, key)
}

func (t *Transaction) putTagged(ctx context.Context, tag byte, key string, value []byte) error {
	if err := t.usable(); err != nil {
		return err
	}
	return t.Storage.putTagged(ctx, tag, key, value)
}

func (t *Transaction) listTagged(ctx context.Context, opt ListOptions) ([]Entry, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	return t.Storage.listTagged(ctx, opt)
}
