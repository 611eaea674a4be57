package main

import (
	"image/color"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// The colours of the two bars of a group.
func firstColor() color.Color  { return color.RGBA{R: 0x1f, G: 0x5f, B: 0x8b, A: 0xff} }
func secondColor() color.Color { return color.RGBA{R: 0xe0, G: 0x8e, B: 0x2b, A: 0xff} }

// A series is a row of bars of one colour.
type series struct {
	name   string
	values []float64
	color  color.Color
}

// draw draws bars in groups, and saves them as SVG and as PNG.
func draw(dir, file, title, axis string, groups []string, list ...series) error {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(8)
	p.Y.Label.Text = axis
	p.Y.Min = 0
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid)
	width := vg.Points(380 / float64(len(groups)) / float64(len(list)))
	for i, s := range list {
		bars, err := plotter.NewBarChart(plotter.Values(s.values), width)
		if err != nil {
			return err
		}
		bars.Color = s.color
		bars.LineStyle.Width = 0
		bars.Offset = width * vg.Length(float64(i)-float64(len(list)-1)/2)
		p.Add(bars)
		if len(list) > 1 {
			p.Legend.Add(s.name, bars)
		}
		for _, v := range s.values {
			p.Y.Max = max(p.Y.Max, 1.25*v)
		}
	}
	p.Legend.Top, p.Legend.Padding, p.Legend.XOffs = true, vg.Points(3), vg.Points(-6)
	for i, group := range groups {
		groups[i] = strings.ReplaceAll(group, ", ", ",\n")
	}
	p.NominalX(groups...)
	p.X.Min, p.X.Max = -0.6, float64(len(groups))-0.4
	return save(p, dir, file)
}

func save(p *plot.Plot, dir, file string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, format := range []string{".svg", ".png"} {
		if err := p.Save(9*vg.Inch, 4.2*vg.Inch, filepath.Join(dir, file+format)); err != nil {
			return err
		}
	}
	return nil
}

// plots draws what was measured.
func (b *bench) plots() error {
	for _, draw := range []func() error{b.plotBodies, b.plotSmall, b.plotCores, b.plotMemory, b.plotKeys} {
		if err := draw(); err != nil {
			return err
		}
	}
	return nil
}

// of returns the names of the ciphers and a value for each, of one size and direction.
func (r *results) of(size int64, direction string, value func(figure) float64) (names []string, values []float64) {
	for _, body := range r.bodies {
		if body.size == size && body.direction == direction {
			names = append(names, body.cipher)
			values = append(values, value(body.figure))
		}
	}
	return names, values
}

func (b *bench) plotBodies() error {
	if len(b.results.bodies) == 0 {
		return nil
	}
	size := b.sizes[len(b.sizes)-2]
	perSecond := func(f figure) float64 { return speed(f.cpu, size) }
	names, encrypt := b.results.of(size, encrypting, perSecond)
	_, decrypt := b.results.of(size, decrypting, perSecond)
	return draw(b.out, "bodies", "Bodies of "+sizeName(size)+" on one core (more is better)", "GB per second of CPU time", names,
		series{encrypting, encrypt, firstColor()}, series{decrypting, decrypt, secondColor()})
}

func (b *bench) plotSmall() error {
	if len(b.results.bodies) == 0 {
		return nil
	}
	size := b.sizes[0]
	perOp := func(f figure) float64 { return float64(f.cpu) / 1e3 }
	names, encrypt := b.results.of(size, encrypting, perOp)
	_, decrypt := b.results.of(size, decrypting, perOp)
	return draw(b.out, "small", "Bodies of "+sizeName(size)+" (less is better)", "microseconds of CPU time", names,
		series{encrypting, encrypt, firstColor()}, series{decrypting, decrypt, secondColor()})
}

func (b *bench) plotCores() error {
	var groups []string
	var one, two []float64
	for _, c := range b.results.cores {
		groups = append(groups, c.cipher+", "+c.direction)
		one, two = append(one, c.one), append(two, c.two)
	}
	if len(groups) == 0 {
		return nil
	}
	return draw(b.out, "cores", "One body on one core and on two (more is better)", "GB per second", groups,
		series{"one core", one, firstColor()}, series{"two cores", two, secondColor()})
}

func (b *bench) plotMemory() error {
	var groups []string
	var kib []float64
	for _, m := range b.results.memory {
		groups, kib = append(groups, m.cipher), append(kib, m.kib)
	}
	if len(groups) == 0 {
		return nil
	}
	return draw(b.out, "memory", "Memory of each of 1,000 bodies at once (less is better)", "KiB", groups, series{"", kib, firstColor()})
}

func (b *bench) plotKeys() error {
	var groups []string
	var one, two []float64
	for _, k := range b.results.keys {
		groups = append(groups, k.name)
		one, two = append(one, k.one/1000), append(two, k.two/1000)
	}
	if len(groups) == 0 {
		return nil
	}
	return draw(b.out, "keys", "Data keys of a local backend (more is better)", "thousands a second", groups,
		series{"one core", one, firstColor()}, series{"two cores", two, secondColor()})
}
