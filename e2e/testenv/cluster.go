package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/hashicorp/vault/api"
)

// nodes is how many nodes a cluster has: one can be lost.
const nodes = 3

// Cluster is three servers over one raft log. One of them leads; the others are standbys, and forward requests to it.
type Cluster struct {
	Nodes []*Server
}

// StartCluster starts a cluster and waits until every node votes.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{}
	for i := range nodes {
		name := fmt.Sprint("node", i+1)
		s := newServer(t, ServerOptions{}, raft, "-node", name, "-cluster", freeAddress(t))
		s.start(t, "127.0.0.1:0")
		c.Nodes = append(c.Nodes, s)
	}
	first := c.Nodes[0]
	first.initialize(t)
	first.Unseal(t)
	for _, s := range c.Nodes[1:] {
		s.join(t, first)
	}
	c.waitForVoters(t)
	return c
}

// join makes the server a member of the cluster that another one leads.
func (s *Server) join(t testing.TB, leader *Server) {
	t.Helper()
	eventually(t, "joining a cluster", func(ctx context.Context) error {
		joined, err := s.client(t, "").Sys().RaftJoinWithContext(ctx, &api.RaftJoinRequest{LeaderAPIAddr: leader.url})
		if err == nil && !joined.Joined {
			err = errors.New("it did not join")
		}
		return err
	})
	s.keys = leader.keys
	s.UnsealStandby(t)
}

// UnsealStandby unseals a node of a cluster that has a leader, and waits until it follows.
func (s *Server) UnsealStandby(t testing.TB) {
	t.Helper()
	s.unseal(t)
	s.waitForHealth(t, api.HealthResponse{Initialized: true, Standby: true})
	client := s.client(t, "")
	eventually(t, "waiting for a standby to find its leader", func(ctx context.Context) error {
		status, err := client.Sys().LeaderWithContext(ctx)
		if err == nil && status.LeaderAddress == "" {
			err = errors.New("it knows no leader")
		}
		return err
	})
}

// waitForVoters waits until a cluster can lose any node.
func (c *Cluster) waitForVoters(t testing.TB) {
	t.Helper()
	client := c.Nodes[0].Client(t)
	eventually(t, "waiting for voters", func(ctx context.Context) error {
		var answer struct {
			Data struct {
				Config struct{ Servers []struct{ Voter bool } }
			}
		}
		response, err := client.Logical().ReadRawWithContext(ctx, "sys/storage/raft/configuration")
		if err == nil {
			err = errors.Join(response.DecodeJSON(&answer), response.Body.Close())
		}
		if err != nil {
			return err
		}
		voters := 0
		for _, s := range answer.Data.Config.Servers {
			if s.Voter {
				voters++
			}
		}
		if voters != len(c.Nodes) {
			return fmt.Errorf("%d voters, want %d", voters, len(c.Nodes))
		}
		return nil
	})
}

// Leader waits until one of the given nodes says that it leads, and returns it.
func (c *Cluster) Leader(t testing.TB, among ...*Server) *Server {
	t.Helper()
	if len(among) == 0 {
		among = c.Nodes
	}
	var leader *Server
	eventually(t, "waiting for a leader", func(ctx context.Context) error {
		for _, s := range among {
			status, err := s.client(t, "").Sys().LeaderWithContext(ctx)
			if err == nil && status.IsSelf {
				leader = s
				return nil
			}
		}
		return errors.New("nobody leads")
	})
	return leader
}

// Without returns the nodes but one.
func (c *Cluster) Without(gone *Server) []*Server {
	var others []*Server
	for _, s := range c.Nodes {
		if s != gone {
			others = append(others, s)
		}
	}
	return others
}

// freeAddress returns an address that was free a moment ago: a node must know its own before it listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err, "looking for a free port")
	defer listener.Close()
	return listener.Addr().String()
}
