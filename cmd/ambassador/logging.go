package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

func addLogFlags(f *pflag.FlagSet) {
	f.String("log-format", "auto", "how logs are written: text, json, or auto (text on a terminal)")
	f.String("log-level", "info", "the least `LEVEL` that is logged: debug, info, warn or error")
}

func addLogSessions(f *pflag.FlagSet) *bool {
	return f.Bool("log-sessions", false, "log a line at level info for every connection that ends, with its bytes and why it ended; else these lines are at level debug")
}

// newLogger logs to standard error, as the flags say.
func newLogger(cmd *cobra.Command, stderr io.Writer) (*zap.Logger, error) {
	format, level := flagText(cmd, "log-format"), flagText(cmd, "log-level")
	at, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, usage(fmt.Errorf("--log-level %q: expected debug, info, warn or error", level))
	}
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.ISO8601TimeEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	switch {
	case format == "text", format == "auto" && isTerminal(stderr):
		encoder = zapcore.NewConsoleEncoder(config)
	case format == "json", format == "auto":
		encoder = zapcore.NewJSONEncoder(config)
	default:
		return nil, usage(fmt.Errorf("--log-format %q: expected text, json or auto", format))
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(stderr)), at)), nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func flagText(cmd *cobra.Command, name string) string { return cmd.Flags().Lookup(name).Value.String() }
