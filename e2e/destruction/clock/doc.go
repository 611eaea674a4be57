// Package clock sets the clock forward by 60 days and back by ten years, before and after restarts, and looks at what becomes of keys that are to be deleted,
// of caches, bucket keys and tokens.
//
// No clock of the machine is touched: the tests compile the library once more, with the package jumpclock in the place of time.Now, time.Since and time.Until, and
// run in bubbles of testing/synctest, where the days between two sweeps pass at once.
package clock
