package postgres

// nextEpoch is the epoch of a new lease on the row t of turn: the time in milliseconds, by the
// clock of the database, or one more than the last epoch.
//
// A plain count would begin again in a new database, go back in one that is restored from a backup,
// and come twice after a fail-over that has lost commits. Then a target that has seen a larger
// epoch would take nothing, and one that has seen the same one could not tell two runs apart.
const nextEpoch = `greatest(t.epoch + 1, (extract(epoch FROM now()) * 1000)::bigint)`
