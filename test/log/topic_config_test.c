/* SPDX-License-Identifier: Apache-2.0 */
#include "log/topic_config.h"
#include "test/lib/vector.h"

static const struct topic_settings none;

static enum err set(const char *key, const char *value)
{
	struct topic_settings s = {0};
	err_clear();
	enum err err = topic_settings_set(&s, str_of(key), str_of(value));
	topic_settings_release(&s);
	return err;
}

static void the_defaults_are_kafkas(void **state)
{
	(void)state;
	struct log_topic_config c = topic_settings_decode(&none, &none);
	assert_int_equal(c.cleanup, LOG_CLEANUP_DELETE);
	assert_int_equal(c.retention_ms, 604800000);
	assert_int_equal(c.retention_bytes, -1);
	assert_int_equal(c.segment_bytes, SEGMENT_BYTES_DEFAULT);
	assert_int_equal(c.segment_ms, 604800000);
	assert_int_equal(c.max_message_bytes, BATCH_BYTES_DEFAULT);
	assert_int_equal(c.timestamp_type, LOG_TIME_CREATE);
	assert_int_equal(c.durability, LOG_DURABILITY_FSYNC);
	assert_int_equal(c.compression, -1);
	assert_int_equal(c.delete_retention_ms, 86400000);
	assert_int_equal(c.min_compaction_lag_ms, 0);
	assert_true(c.flush_ms == INT64_MAX && c.flush_messages == INT64_MAX);
}

static void the_topics_value_goes_before_the_servers(void **state)
{
	(void)state;
	bool is_set;
	struct topic_settings own = {0}, server = {0};
	assert_int_equal(topic_settings_set(&server, STR("retention.ms"), STR("5")), ERR_OK);
	assert_int_equal(topic_settings_set(&server, STR("segment.ms"), STR("6")), ERR_OK);
	assert_int_equal(topic_settings_set(&own, STR("retention.ms"), STR(" 7 ")), ERR_OK);
	assert_int_equal(
	    topic_settings_set(&own, STR("cleanup.policy"), STR("compact, delete")), ERR_OK);
	assert_int_equal(
	    topic_settings_set(&own, STR("compression.type"), STR("uncompressed")), ERR_OK);
	assert_int_equal(
	    topic_settings_set(&own, STR("message.timestamp.type"), STR("LogAppendTime")), ERR_OK);
	assert_int_equal(topic_settings_set(&own, STR("kappa.durability"), STR("none")), ERR_OK);
	struct log_topic_config c = topic_settings_decode(&own, &server);
	assert_int_equal(c.retention_ms, 7);
	assert_int_equal(c.segment_ms, 6);
	assert_int_equal(c.cleanup, LOG_CLEANUP_DELETE | LOG_CLEANUP_COMPACT);
	assert_int_equal(c.compression, 0);
	assert_int_equal(c.timestamp_type, LOG_TIME_APPEND);
	assert_int_equal(c.durability, LOG_DURABILITY_NONE);
	assert_string_equal(
	    topic_settings_get(&own, &server, TOPIC_CONFIG_RETENTION_MS, &is_set), "7");
	assert_true(is_set);
	assert_string_equal(
	    topic_settings_get(&own, &server, TOPIC_CONFIG_SEGMENT_MS, &is_set), "6");
	assert_false(is_set);
	topic_settings_release(&own);
	topic_settings_release(&server);
}

static void an_unknown_key_is_refused_with_the_nearest_one(void **state)
{
	(void)state;
	assert_int_equal(set("retention.mss", "1"), ERR_INVALID_CONFIG);
	assert_non_null(strstr(err_chain(), "did you mean retention.ms?"));
	assert_int_equal(set("cleanup_policy", "delete"), ERR_INVALID_CONFIG);
	assert_non_null(strstr(err_chain(), "did you mean cleanup.policy?"));
	assert_int_equal(set("quite.another.thing.altogether", "1"), ERR_INVALID_CONFIG);
	assert_null(strstr(err_chain(), "did you mean"));
	assert_int_equal(set("", "1"), ERR_INVALID_CONFIG);
	assert_int_equal(set("a\nb", "1"), ERR_INVALID_CONFIG);
	err_clear();
}

static void a_value_of_the_wrong_kind_is_refused(void **state)
{
	(void)state;
	static const char *const bad[][2] = {
	    {"retention.ms", ""},
	    {"retention.ms", "-2"},
	    {"retention.ms", "1e3"},
	    {"retention.ms", "9223372036854775808"},
	    {"max.message.bytes", "67108865"},
	    {"segment.bytes", "13"},
	    {"segment.bytes", "2147483648"},
	    {"cleanup.policy", ""},
	    {"cleanup.policy", "delete,"},
	    {"cleanup.policy", ",delete"},
	    {"cleanup.policy", "remove"},
	    {"compression.type", "brotli"},
	    {"compression.type", "gzip|lz4"},
	    {"preallocate", "yes"},
	    {"min.cleanable.dirty.ratio", "1.1"},
	    {"min.cleanable.dirty.ratio", "nan"},
	    {"min.cleanable.dirty.ratio", "0.5x"},
	    {"kappa.durability", "FSYNC"},
	    {"kappa.contract", "a\nid=00000000-0000-0000-0000-000000000000"},
	    {"kappa.contract", "\x7f"},
	    {"kappa.contract", "\xff"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		enum err err = set(bad[i][0], bad[i][1]);
		if (err != ERR_INVALID_CONFIG)
			print_message("%s=%s: %s\n", bad[i][0], bad[i][1], err_name(err));
		assert_int_equal(err, ERR_INVALID_CONFIG);
		assert_non_null(strstr(err_chain(), bad[i][0]));
	}
	struct topic_settings s = {0};
	assert_int_equal(
	    topic_settings_set(&s, STR("retention.ms"), (struct str){NULL, 0}), ERR_INVALID_CONFIG);
	err_clear();
}

static void a_set_with_a_key_twice_is_refused_whole(void **state)
{
	(void)state;
	struct topic_settings s;
	const struct str twice[][2] = {
	    {STR("retention.ms"), STR("1")},
	    {STR("segment.ms"), STR("2")},
	    {STR("retention.ms"), STR("1")},
	};
	assert_int_equal(topic_settings_parse(twice, 3, &s), ERR_INVALID_CONFIG);
	assert_int_equal(topic_settings_parse(twice, 2, &s), ERR_OK);
	topic_settings_release(&s);
	for (uint64_t nth = 1; nth <= 2; nth++) {
		mem_fail_at(nth);
		assert_int_equal(topic_settings_parse(twice, 2, &s), ERR_NOMEM);
		mem_fail_at(0);
	}
	err_clear();
}

static void every_entry_of_the_table_is_sorted_and_has_a_good_default(void **state)
{
	(void)state;
	struct log_config_entry e;
	const char *last = "";
	size_t count = 0;
	while (log_topic_config_entry(count, &e)) {
		const char *value =
		    topic_settings_get(&none, &none, (enum topic_config_id)count, NULL);
		assert_true(strcmp(last, e.key) < 0);
		assert_int_equal(set(e.key, value), ERR_OK);
		assert_true(strlen(e.doc) > 0);
		last = e.key;
		count++;
	}
	assert_int_equal(count, TOPIC_CONFIG_COUNT);
}

static char seen[2000];
static void collect(void *ctx, const char *line)
{
	(void)ctx;
	strncat(seen, line, sizeof(seen) - strlen(seen) - 1);
}

static void keys_without_effect_are_warned_about(void **state)
{
	(void)state;
	struct topic_settings s = {0};
	assert_int_equal(topic_settings_set(&s, STR("retention.ms"), STR("1")), ERR_OK);
	assert_int_equal(topic_settings_set(&s, STR("preallocate"), STR("true")), ERR_OK);
	assert_int_equal(topic_settings_set(&s, STR("segment.jitter.ms"), STR("0")), ERR_OK);
	assert_int_equal(topic_settings_set(&s, STR("cleanup.policy"), STR("compact")), ERR_OK);
	diag_set_sink(collect, NULL);
	topic_settings_warn(&s, STR("orders"));
	diag_set_sink(NULL, NULL);
	assert_non_null(strstr(seen, "topic=orders key=preallocate value=\"true\""));
	assert_null(strstr(seen, "key=cleanup.policy"));
	assert_null(strstr(seen, "key=segment.jitter.ms"));
	assert_null(strstr(seen, "key=retention.ms"));
	topic_settings_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_defaults_are_kafkas),
	    cmocka_unit_test(the_topics_value_goes_before_the_servers),
	    cmocka_unit_test(an_unknown_key_is_refused_with_the_nearest_one),
	    cmocka_unit_test(a_value_of_the_wrong_kind_is_refused),
	    cmocka_unit_test(a_set_with_a_key_twice_is_refused_whole),
	    cmocka_unit_test(every_entry_of_the_table_is_sorted_and_has_a_good_default),
	    cmocka_unit_test(keys_without_effect_are_warned_about),
	};
	return cmocka_run_group_tests_name("topic_config", tests, NULL, NULL);
}
