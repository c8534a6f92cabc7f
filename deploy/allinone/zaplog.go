package main

import (
	"context"
	"log/slog"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapTo returns InfluxDB's kind of logger, writing to log.
func zapTo(log *slog.Logger) *zap.Logger { return zap.New(&zapCore{log: log}) }

// A zapCore writes what InfluxDB logs to a slog.Logger. InfluxDB tells at level
// info what is debugging to us.
type zapCore struct {
	log    *slog.Logger
	fields []zapcore.Field
}

// Enabled reports whether a message of this level would be written.
func (c *zapCore) Enabled(level zapcore.Level) bool {
	return c.log.Enabled(context.Background(), fromZap(level))
}

// With returns a core that adds fields to each message.
func (c *zapCore) With(fields []zapcore.Field) zapcore.Core {
	return &zapCore{c.log, slices.Concat(c.fields, fields)}
}

// Check adds the core to those that write e, if it does.
func (c *zapCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write writes one message.
func (c *zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	encoded := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(c.fields, fields) {
		f.AddTo(encoded)
	}
	attrs := make([]slog.Attr, 0, len(encoded.Fields))
	for key, value := range encoded.Fields {
		attrs = append(attrs, slog.Any(key, value))
	}
	slices.SortFunc(attrs, func(a, b slog.Attr) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	c.log.LogAttrs(context.Background(), fromZap(e.Level), e.Message, attrs...)
	return nil
}

// Sync does nothing: nothing is held back.
func (c *zapCore) Sync() error { return nil }

func fromZap(level zapcore.Level) slog.Level {
	switch {
	case level >= zapcore.ErrorLevel:
		return slog.LevelError
	case level == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}
