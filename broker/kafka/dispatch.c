/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which requests are served, by whom, in which versions; ApiVersions says exactly this. Order of
 * key. The minimum advertised is lower than the one served in two places, because clients test for
 * it: librdkafka before 2.11.1 sends uncompressed unless Produce 0 is there, kafka-go and others
 * need JoinGroup 0.
 */
#include "broker/auth/handlers.h"
#include "broker/auth/sasl.h"
#include "broker/kafka/groups.h"
#include "broker/kafka/handlers.h"
#include "broker/kafka/transactions.h"
#include "broker/quotas/handlers.h"

static const struct dispatch_row rows[] = {
    {API_PRODUCE, 3, 13, 0, handle_produce},
    {API_FETCH, 4, 18, 4, handle_fetch},
    {API_LIST_OFFSETS, 1, 11, 1, handle_list_offsets},
    {API_METADATA, 0, 13, 0, handle_metadata},
    {API_OFFSET_COMMIT, 2, 10, 2, handle_offset_commit},
    {API_OFFSET_FETCH, 1, 10, 1, handle_offset_fetch},
    {API_FIND_COORDINATOR, 0, 6, 0, handle_find_coordinator},
    {API_JOIN_GROUP, 0, 9, 0, handle_join_group},
    {API_HEARTBEAT, 0, 4, 0, handle_heartbeat},
    {API_LEAVE_GROUP, 0, 5, 0, handle_leave_group},
    {API_SYNC_GROUP, 0, 5, 0, handle_sync_group},
    {API_DESCRIBE_GROUPS, 0, 6, 0, handle_describe_groups},
    {API_LIST_GROUPS, 0, 5, 0, handle_list_groups},
    {API_SASL_HANDSHAKE, 0, 1, 0, handle_sasl_handshake},
    {API_API_VERSIONS, 0, 4, 0, handle_api_versions},
    {API_CREATE_TOPICS, 2, 7, 2, handle_create_topics},
    {API_DELETE_TOPICS, 1, 6, 1, handle_delete_topics},
    {API_DELETE_RECORDS, 0, 2, 0, handle_delete_records},
    {API_INIT_PRODUCER_ID, 0, 5, 0, handle_init_producer_id},
    {API_OFFSET_FOR_LEADER_EPOCH, 2, 4, 2, handle_offset_for_leader_epoch},
    {API_ADD_PARTITIONS_TO_TXN, 0, 3, 0, handle_add_partitions_to_txn},
    {API_ADD_OFFSETS_TO_TXN, 0, 4, 0, handle_add_offsets_to_txn},
    {API_END_TXN, 0, 5, 0, handle_end_txn},
    {API_WRITE_TXN_MARKERS, 1, 2, 1, handle_write_txn_markers},
    {API_TXN_OFFSET_COMMIT, 0, 5, 0, handle_txn_offset_commit},
    {API_DESCRIBE_ACLS, 1, 3, 1, handle_describe_acls},
    {API_CREATE_ACLS, 1, 3, 1, handle_create_acls},
    {API_DELETE_ACLS, 1, 3, 1, handle_delete_acls},
    {API_DESCRIBE_CONFIGS, 1, 4, 1, handle_describe_configs},
    {API_ALTER_CONFIGS, 0, 2, 0, handle_alter_configs},
    {API_DESCRIBE_LOG_DIRS, 1, 5, 1, handle_describe_log_dirs},
    {API_SASL_AUTHENTICATE, 0, 2, 0, handle_sasl_authenticate},
    {API_CREATE_PARTITIONS, 0, 3, 0, handle_create_partitions},
    {API_DELETE_GROUPS, 0, 2, 0, handle_delete_groups},
    {API_ELECT_LEADERS, 0, 2, 0, handle_elect_leaders},
    {API_INCREMENTAL_ALTER_CONFIGS, 0, 1, 0, handle_incremental_alter_configs},
    {API_ALTER_PARTITION_REASSIGNMENTS, 0, 1, 0, handle_alter_partition_reassignments},
    {API_LIST_PARTITION_REASSIGNMENTS, 0, 0, 0, handle_list_partition_reassignments},
    {API_OFFSET_DELETE, 0, 0, 0, handle_offset_delete},
    {API_DESCRIBE_CLIENT_QUOTAS, 0, 1, 0, handle_describe_client_quotas},
    {API_ALTER_CLIENT_QUOTAS, 0, 1, 0, handle_alter_client_quotas},
    {API_DESCRIBE_USER_SCRAM_CREDENTIALS, 0, 0, 0, handle_describe_users},
    {API_ALTER_USER_SCRAM_CREDENTIALS, 0, 0, 0, handle_alter_users},
    {API_UPDATE_FEATURES, 0, 2, 0, handle_update_features},
    {API_DESCRIBE_CLUSTER, 0, 2, 0, handle_describe_cluster},
    {API_DESCRIBE_PRODUCERS, 0, 0, 0, handle_describe_producers},
    {API_DESCRIBE_TRANSACTIONS, 0, 0, 0, handle_describe_transactions},
    {API_LIST_TRANSACTIONS, 0, 2, 0, handle_list_transactions},
    {API_CONSUMER_GROUP_HEARTBEAT, 0, 1, 0, handle_consumer_group_heartbeat},
    {API_CONSUMER_GROUP_DESCRIBE, 0, 1, 0, handle_consumer_group_describe},
    {API_LIST_CONFIG_RESOURCES, 0, 1, 0, handle_list_config_resources},
    {API_DESCRIBE_TOPIC_PARTITIONS, 0, 0, 0, handle_describe_topic_partitions},
};
enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]) };

const struct dispatch_row *dispatch_find(int16_t key)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		if (rows[i].key == key)
			return &rows[i];
	}
	return NULL;
}

const struct dispatch_row *dispatch_at(size_t index)
{
	return index < ROW_COUNT ? &rows[index] : NULL;
}
