# SPDX-License-Identifier: Apache-2.0
# Kafka messages: schema/*.msg -> structs, field tables and broker/PROTOCOL.md, by tools/dev/gen_kafka.c.
KAFKA_SCHEMA := $(sort $(wildcard broker/kafka/schema/*.msg))
KAFKA_GEN    := $(B)/gen/gen_kafka
KAFKA_OUT    := $(B)/gen/broker/kafka
GEN_HEADERS  += $(KAFKA_OUT)/messages.h $(KAFKA_OUT)/message_tables.h

$(KAFKA_GEN): tools/dev/gen_kafka.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) -std=gnu17 -D_GNU_SOURCE -O1 $(WARN) -o $@ $<

$(KAFKA_OUT)/messages.h: $(KAFKA_GEN) $(KAFKA_SCHEMA)
	@mkdir -p $(@D)
	$(call say,GEN,$@)$(KAFKA_GEN) header $(KAFKA_SCHEMA) >$@

$(KAFKA_OUT)/message_tables.h: $(KAFKA_GEN) $(KAFKA_SCHEMA)
	@mkdir -p $(@D)
	$(call say,GEN,$@)$(KAFKA_GEN) tables $(KAFKA_SCHEMA) >$@

## protocol-doc: write broker/PROTOCOL.md from the message table
protocol-doc: $(KAFKA_GEN)
	$(Q)$(KAFKA_GEN) doc $(KAFKA_SCHEMA) >broker/PROTOCOL.md
.PHONY: protocol-doc
