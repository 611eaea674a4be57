package stripe

// New returns the number that a processor is given which has none.
func (p *Picker) New() int { return *p.make() }
