package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"

	"ambassador/internal/admin"

	"github.com/spf13/cobra"
)

// showing is what commands share that show one document of a running ambassador.
type showing struct {
	find   *finder
	output *string
	watch  watching
}

func addShowing(cmd *cobra.Command, env environment) *showing {
	return &showing{find: addFinder(cmd.Flags(), env), output: addOutput(cmd.Flags()), watch: addWatch(cmd.Flags())}
}

// run asks for a document and shows it: as it came with -o json, else as print
// writes it.
func (s *showing) run(cmd *cobra.Command, env environment, path string, query url.Values, print func(w io.Writer, document []byte) error) error {
	asJSON, err := wantsJSON(*s.output)
	if err != nil {
		return err
	}
	write := func(ctx context.Context, w io.Writer) error {
		r, err := s.find.one(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		document, err := r.Raw(ctx, path, query)
		switch {
		case err != nil:
			return askFailed(r, err)
		case asJSON:
			return s.writeDocument(w, document)
		}
		return print(w, document)
	}
	return s.watch.show(cmd, env, write)
}

// writeDocument writes a document for programs and for people who look at one: a
// line each where more are to come.
func (s *showing) writeDocument(w io.Writer, document []byte) error {
	if pause, _ := s.watch.pause(); pause > 0 {
		_, err := w.Write(document)
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, document, "", "  "); err != nil {
		return err
	}
	_, err := w.Write(out.Bytes())
	return err
}

func read[T any](document []byte) (d T, err error) {
	if err := json.Unmarshal(document, &d); err != nil {
		return d, fmt.Errorf("the ambassador's answer is not understood: %w: is it one of another version?", err)
	}
	return d, nil
}

// askFailed says of an error which ambassador it is about.
func askFailed(r *admin.Remote, err error) error {
	if refused := (*admin.RefusedError)(nil); errors.As(err, &refused) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &explained{fmt.Sprintf("the ambassador on %s does not answer: its process is stopped, or has too much to do: look at it with ps or top, and at its log", r.Path()), err}
	}
	return fmt.Errorf("asking the ambassador on %s: %w", r.Path(), err)
}
