/* SPDX-License-Identifier: Apache-2.0 */
#include "log/catalog_row.h"
#include "test/lib/vector.h"

static const struct log_uuid ID = {
    {0x55, 0x0e, 0x84, 0, 0xe2, 0x9b, 0x41, 0xd4, 0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0, 0}};
#define ID_TEXT "550e8400-e29b-41d4-a716-446655440000"

static void an_id_has_one_text(void **state)
{
	(void)state;
	char buf[UUID_TEXT_BYTES];
	struct log_uuid id;
	assert_string_equal(uuid_format(ID, buf), ID_TEXT);
	assert_true(uuid_parse(STR(ID_TEXT), &id));
	assert_true(log_uuid_equal(id, ID));
	assert_true(uuid_parse(STR("550E8400-E29B-41D4-A716-446655440000"), &id));
	assert_false(uuid_parse(STR("550e8400-e29b-41d4-a716-44665544000"), &id));
	assert_false(uuid_parse(STR("550e8400-e29b-41d4-a716-4466554400000"), &id));
	assert_false(uuid_parse(STR("550e8400e-29b-41d4-a716-446655440000"), &id));
	assert_false(uuid_parse(STR("550e8400-e29b-41d4-a716-44665544000g"), &id));
	assert_false(uuid_parse((struct str){NULL, 0}, &id));
}

static void expect_name(const char *text, struct row_name name)
{
	struct writer w;
	writer_init(&w, KIB);
	row_name_write(&w, &name);
	assert_true(str_equal(bytes_str(writer_bytes(&w)), str_of(text)));
	struct row_name back = row_name_parse(writer_bytes(&w));
	assert_int_equal(back.kind, name.kind);
	assert_true(str_equal(back.topic, name.topic));
	assert_true(log_uuid_equal(back.id, name.id));
	assert_int_equal(back.partition, name.partition);
	assert_int_equal(back.from, name.from);
	writer_release(&w);
}

static void names_come_back_as_they_were_written(void **state)
{
	(void)state;
	expect_name("topic/a.b-c_d", (struct row_name){.kind = ROW_TOPIC, .topic = STR("a.b-c_d")});
	expect_name("partition/" ID_TEXT "/7",
	    (struct row_name){.kind = ROW_PARTITION, .id = ID, .partition = 7});
	expect_name("trash/" ID_TEXT, (struct row_name){.kind = ROW_TRASH, .id = ID});
	expect_name("gap/" ID_TEXT "/1/123456789012",
	    (struct row_name){.kind = ROW_GAP, .id = ID, .partition = 1, .from = 123456789012});
}

static void other_names_are_unknown_and_not_wrong(void **state)
{
	(void)state;
	static const char *const names[] = {
	    "",
	    "topic",
	    "topic/",
	    "topic/a/b",
	    "topics/a",
	    "partition/" ID_TEXT,
	    "partition/" ID_TEXT "/x",
	    "partition/" ID_TEXT "/-1",
	    "partition/" ID_TEXT "/10000",
	    "partition/" ID_TEXT "/1/2",
	    "trash/" ID_TEXT "/1",
	    "gap/" ID_TEXT "/1",
	    "user/bob",
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(row_name_parse(str_bytes(str_of(names[i]))).kind, ROW_UNKNOWN);
	err_clear();
}

static void a_topic_row_comes_back_with_its_configuration(void **state)
{
	(void)state;
	struct topic_row row = {.id = ID, .partitions = 12}, back;
	struct writer w;
	writer_init(&w, MIB);
	assert_int_equal(
	    topic_settings_set(&row.settings, STR("retention.ms"), STR("5000")), ERR_OK);
	assert_int_equal(
	    topic_settings_set(&row.settings, STR("kappa.contract"), STR("a=b = c")), ERR_OK);
	topic_row_write(&w, &row);
	assert_true(str_equal(bytes_str(writer_bytes(&w)),
	    STR("id=" ID_TEXT
	        "\npartitions=12\nconfig.kappa.contract=a=b = c\nconfig.retention.ms=5000\n")));
	assert_int_equal(topic_row_parse(writer_bytes(&w), &back), ERR_OK);
	assert_true(log_uuid_equal(back.id, ID));
	assert_int_equal(back.partitions, 12);
	assert_string_equal(back.settings.value[TOPIC_CONFIG_RETENTION_MS], "5000");
	assert_string_equal(back.settings.value[TOPIC_CONFIG_CONTRACT], "a=b = c");
	topic_settings_release(&row.settings);
	topic_settings_release(&back.settings);
	writer_release(&w);
}

static void ignore_line(void *ctx, const char *line)
{
	(*(int *)ctx)++;
	assert_non_null(strstr(line, "catalog_config_ignored"));
}

static void a_topic_row_of_a_newer_server_is_read(void **state)
{
	(void)state;
	int lines = 0;
	struct topic_row row;
	const struct str text = STR("created=2031\nid=" ID_TEXT "\npartitions=1\nconfig.new.key=1\n"
	                            "config.retention.ms=soon\nconfig.segment.ms=9");
	diag_set_sink(ignore_line, &lines);
	assert_int_equal(topic_row_parse(str_bytes(text), &row), ERR_OK);
	diag_set_sink(NULL, NULL);
	assert_int_equal(lines, 2);
	assert_null(row.settings.value[TOPIC_CONFIG_RETENTION_MS]);
	assert_string_equal(row.settings.value[TOPIC_CONFIG_SEGMENT_MS], "9");
	topic_settings_release(&row.settings);
}

static void rows_that_lack_something_are_corrupt(void **state)
{
	(void)state;
	static const char *const rows[] = {
	    "",
	    "partitions=1",
	    "id=" ID_TEXT,
	    "id=" ID_TEXT "\npartitions=0",
	    "id=" ID_TEXT "\npartitions=10001",
	    "id=00000000-0000-0000-0000-000000000000\npartitions=1",
	    "id=x\npartitions=1",
	    "\n\n=\n",
	};
	struct topic_row row;
	struct trash_row trash;
	int64_t start;
	uint32_t epoch;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(topic_row_parse(str_bytes(str_of(rows[i])), &row), ERR_CORRUPT);
	assert_int_equal(trash_row_parse(str_bytes(STR("name=x\n")), &trash), ERR_CORRUPT);
	assert_int_equal(
	    partition_row_parse(str_bytes(STR("log_start=5\n")), &start, &epoch), ERR_CORRUPT);
	assert_int_equal(
	    partition_row_parse(str_bytes(STR("log_start=-5\nleader_epoch=1")), &start, &epoch),
	    ERR_CORRUPT);
	assert_int_equal(partition_row_parse(str_bytes(STR("log_start=5\nleader_epoch=2147483648")),
	                     &start, &epoch),
	    ERR_CORRUPT);
	err_clear();
}

static void rows_about_partitions_come_back(void **state)
{
	(void)state;
	struct catalog_partition_row row = {.log_start = 77,
	    .leader_epoch = 3,
	    .gap_to = 90,
	    .gap_first_sequence = 5,
	    .gap_last_sequence = 6};
	struct trash_row trash = {STR("orders"), 4}, back;
	struct writer w;
	int64_t start;
	uint32_t epoch;
	writer_init(&w, KIB);
	partition_row_write(&w, &row);
	assert_int_equal(partition_row_parse(writer_bytes(&w), &start, &epoch), ERR_OK);
	assert_int_equal(start, 77);
	assert_int_equal(epoch, 3);
	writer_clear(&w);
	gap_row_write(&w, &row);
	assert_true(str_equal(
	    bytes_str(writer_bytes(&w)), STR("to=90\nfirst_sequence=5\nlast_sequence=6\n")));
	writer_clear(&w);
	trash_row_write(&w, &trash);
	assert_int_equal(trash_row_parse(writer_bytes(&w), &back), ERR_OK);
	assert_true(str_equal(back.name, STR("orders")));
	assert_int_equal(back.partitions, 4);
	writer_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_id_has_one_text),
	    cmocka_unit_test(names_come_back_as_they_were_written),
	    cmocka_unit_test(other_names_are_unknown_and_not_wrong),
	    cmocka_unit_test(a_topic_row_comes_back_with_its_configuration),
	    cmocka_unit_test(a_topic_row_of_a_newer_server_is_read),
	    cmocka_unit_test(rows_that_lack_something_are_corrupt),
	    cmocka_unit_test(rows_about_partitions_come_back),
	};
	return cmocka_run_group_tests_name("catalog_row", tests, NULL, NULL);
}
