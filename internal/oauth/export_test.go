package oauth

import "time"

// SetPatience sets how long another process may hold the lock.
func SetPatience(f *File, d time.Duration) { f.patience = d }
