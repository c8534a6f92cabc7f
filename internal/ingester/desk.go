package ingester

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// A running ingester owns its data folder. What another process wants of it is a
// file in a folder beside the data, named request-*.json; the answer is a file
// result-* of the same name.
const (
	requestPrefix = "request-"
	resultPrefix  = "result-"
	lookEvery     = 500 * time.Millisecond // how often the ingester looks for requests
	answerTime    = 30 * time.Second
)

// A desk is where requests of one kind are handed in.
type desk[Request, Result any] struct {
	folder string
	what   string // is asked for, such as "replay"
}

// ask hands a request in and waits for the answer.
func (d desk[Request, Result]) ask(ctx context.Context, r Request) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var result Result
	data, err := json.Marshal(r)
	if err != nil {
		return result, err
	}
	name := rand.Text() + ".json"
	request := filepath.Join(d.folder, requestPrefix+name)
	answer := filepath.Join(d.folder, resultPrefix+name)
	if err := os.MkdirAll(d.folder, 0o770); err != nil {
		return result, fmt.Errorf("ask the ingester to %s: %w", d.what, err)
	}
	if err := renameio.WriteFile(request, data, 0o660); err != nil {
		return result, fmt.Errorf("ask the ingester to %s: %w", d.what, err)
	}
	// The ingester may run as a user who can't read what root has written.
	if err := giveTo(filepath.Dir(d.folder), d.folder); err != nil {
		return result, fmt.Errorf("ask the ingester to %s: %w", d.what, err)
	}
	for {
		data, err := os.ReadFile(answer)
		if err == nil {
			return result, errors.Join(json.Unmarshal(data, &result), os.Remove(answer))
		}
		select {
		case <-time.After(lookEvery / 5):
		case <-ctx.Done():
			return result, errors.Join(fmt.Errorf("no answer from the ingester that uses %s; is it the same release?", filepath.Dir(d.folder)), os.Remove(request))
		}
	}
}

// serve answers what lies on the desk, and returns what it could not answer. It
// is called every now and then.
func (d desk[Request, Result]) serve(answer func(Request) (Result, error)) error {
	entries, err := os.ReadDir(d.folder)
	if err != nil {
		return nil // nothing was ever asked
	}
	var unanswered []error
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), requestPrefix); ok {
			unanswered = append(unanswered, d.serveOne(name, answer))
		}
	}
	return errors.Join(unanswered...)
}

func (d desk[Request, Result]) serveOne(name string, answer func(Request) (Result, error)) error {
	file := filepath.Join(d.folder, requestPrefix+name)
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	// Removed first: a request that kills us must not do so for ever.
	if err := os.Remove(file); err != nil {
		return err
	}
	var request Request
	if err := json.Unmarshal(data, &request); err != nil {
		return fmt.Errorf("read request to %s: %w", d.what, err)
	}
	result, err := answer(request)
	if err != nil {
		return err
	}
	if data, err = json.Marshal(result); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(d.folder, resultPrefix+name), data, 0o660)
}
