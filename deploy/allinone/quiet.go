package main

import (
	"context"
	"log/slog"
)

// quietly returns a logger to log for an engine that tells as news what is
// debugging to us: what is below a level is taken down to debug.
func quietly(log *slog.Logger, below slog.Level) *slog.Logger {
	return slog.New(quietHandler{log.Handler(), below})
}

// A quietHandler is the slog.Handler of quietly.
type quietHandler struct {
	slog.Handler
	below slog.Level
}

// Enabled reports whether a message of this level would be written.
func (h quietHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, h.quiet(level))
}

// Handle writes a message at its new level.
func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = h.quiet(r.Level)
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the handler quiet.
func (h quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(attrs), h.below}
}

// WithGroup keeps the handler quiet.
func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name), h.below}
}

func (h quietHandler) quiet(level slog.Level) slog.Level {
	if level >= h.below {
		return level
	}
	return min(level, slog.LevelDebug)
}
