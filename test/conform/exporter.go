// SPDX-License-Identifier: Apache-2.0

// What a Prometheus exporter asks of a cluster at each scrape, with sarama: metadata, leaders and copies, oldest and
// newest offsets, groups with their members and lags, sizes on disk. Prints a line per figure.
//
//	exporter BOOTSTRAP
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/IBM/sarama"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func topicFigures(c sarama.Client, topic string) map[int32]int64 {
	ends := map[int32]int64{}
	partitions, err := c.Partitions(topic)
	check(err)
	for _, p := range partitions {
		leader, err := c.Leader(topic, p)
		check(err)
		newest, err := c.GetOffset(topic, p, sarama.OffsetNewest)
		check(err)
		oldest, err := c.GetOffset(topic, p, sarama.OffsetOldest)
		check(err)
		replicas, err := c.Replicas(topic, p)
		check(err)
		isr, err := c.InSyncReplicas(topic, p)
		check(err)
		ends[p] = newest
		fmt.Printf("partition %s/%d leader=%d oldest=%d current=%d replicas=%d isr=%d\n", topic, p, leader.ID(), oldest,
			newest, len(replicas), len(isr))
	}
	return ends
}

func groupFigures(broker *sarama.Broker, ends map[string]map[int32]int64) {
	listed, err := broker.ListGroups(&sarama.ListGroupsRequest{})
	check(err)
	var names []string
	for name := range listed.Groups {
		names = append(names, name)
	}
	described, err := broker.DescribeGroups(&sarama.DescribeGroupsRequest{Groups: names})
	check(err)
	for _, g := range described.Groups {
		check2(g.Err)
		fetch := sarama.OffsetFetchRequest{ConsumerGroup: g.GroupId, Version: 1}
		for topic, parts := range ends {
			for p := range parts {
				fetch.AddPartition(topic, p)
			}
		}
		offsets, err := broker.FetchOffset(&fetch)
		check(err)
		fmt.Printf("group %s members=%d state=%s\n", g.GroupId, len(g.Members), g.State)
		for topic, parts := range offsets.Blocks {
			for p, block := range parts {
				check2(block.Err)
				if block.Offset >= 0 {
					fmt.Printf("lag %s %s/%d offset=%d lag=%d\n", g.GroupId, topic, p, block.Offset, ends[topic][p]-block.Offset)
				}
			}
		}
	}
}

func check2(e sarama.KError) {
	if e != sarama.ErrNoError {
		log.Fatal(e)
	}
}

func main() {
	config := sarama.NewConfig()
	config.ClientID = "kafka_exporter"
	config.Version = sarama.V2_0_0_0 // the exporter's own default
	c, err := sarama.NewClient(os.Args[1:2], config)
	check(err)
	check(c.RefreshMetadata())
	fmt.Printf("brokers %d\n", len(c.Brokers()))
	topics, err := c.Topics()
	check(err)
	ends := map[string]map[int32]int64{}
	for _, topic := range topics {
		ends[topic] = topicFigures(c, topic)
	}
	for _, broker := range c.Brokers() {
		if err := broker.Open(config); err != nil && err != sarama.ErrAlreadyConnected {
			log.Fatal(err)
		}
		groupFigures(broker, ends)
		dirs, err := broker.DescribeLogDirs(&sarama.DescribeLogDirsRequest{Version: 1})
		check(err)
		for _, d := range dirs.LogDirs {
			check2(d.ErrorCode)
			for _, t := range d.Topics {
				for _, p := range t.Partitions {
					fmt.Printf("size %s/%d bytes=%d\n", t.Topic, p.PartitionID, p.Size)
				}
			}
		}
	}
	check(c.Close())
}
