package metrics

import "github.com/prometheus/client_golang/prometheus"

// Client is how many answers of a client run or wait. Name must not be its key, nor tell anything about it.
type Client struct {
	Name    string
	Answers int
}

// clients tells who keeps the server busy at the moment: a client without answers has no series.
type clients struct {
	read             func() (busy []Client, refused int64)
	answers, refused *prometheus.Desc
}

func newClients(read func() ([]Client, int64)) *clients {
	return &clients{
		read: read,
		answers: prometheus.NewDesc("aquifer_client_answers",
			"Answers of an API key that run or wait, of the busiest keys; the names are made up at each start.", []string{"client"}, nil),
		refused: prometheus.NewDesc("aquifer_client_refusals_total",
			"Requests that were refused because their API key had too many answers at the time.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *clients) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.answers
	ch <- c.refused
}

// Collect implements prometheus.Collector.
func (c *clients) Collect(ch chan<- prometheus.Metric) {
	busy, refused := c.read()
	for _, b := range busy {
		ch <- prometheus.MustNewConstMetric(c.answers, prometheus.GaugeValue, float64(b.Answers), b.Name)
	}
	ch <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(refused))
}
