/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The functions behind the command table; each is in cmd_<noun>.c. */
#include "tools/cli.h"

enum exit_code cmd_topic_create(struct cli *cli);
enum exit_code cmd_topic_list(struct cli *cli);
enum exit_code cmd_topic_describe(struct cli *cli);
enum exit_code cmd_topic_delete(struct cli *cli);
enum exit_code cmd_topic_alter(struct cli *cli);
enum exit_code cmd_produce(struct cli *cli);
enum exit_code cmd_consume(struct cli *cli);
enum exit_code cmd_group_list(struct cli *cli);
enum exit_code cmd_group_describe(struct cli *cli);
enum exit_code cmd_group_lag(struct cli *cli);
enum exit_code cmd_group_reset(struct cli *cli);
enum exit_code cmd_group_delete(struct cli *cli);
enum exit_code cmd_acl_list(struct cli *cli);
enum exit_code cmd_acl_add(struct cli *cli);
enum exit_code cmd_acl_remove(struct cli *cli);
enum exit_code cmd_user_create(struct cli *cli);
enum exit_code cmd_user_alter(struct cli *cli);
enum exit_code cmd_user_delete(struct cli *cli);
enum exit_code cmd_user_list(struct cli *cli);
enum exit_code cmd_sql(struct cli *cli);
enum exit_code cmd_view_list(struct cli *cli);
enum exit_code cmd_view_describe(struct cli *cli);
enum exit_code cmd_view_query(struct cli *cli);
enum exit_code cmd_view_rebuild(struct cli *cli);
enum exit_code cmd_view_wait(struct cli *cli);
enum exit_code cmd_view_diff(struct cli *cli);
enum exit_code cmd_view_promote(struct cli *cli);
enum exit_code cmd_view_rollback(struct cli *cli);
enum exit_code cmd_view_explain_row(struct cli *cli);
enum exit_code cmd_view_drop(struct cli *cli);
enum exit_code cmd_dlq_list(struct cli *cli);
enum exit_code cmd_dlq_show(struct cli *cli);
enum exit_code cmd_serve(struct cli *cli);
enum exit_code cmd_dump(struct cli *cli);
enum exit_code cmd_fsck(struct cli *cli);
enum exit_code cmd_export(struct cli *cli);
enum exit_code cmd_import(struct cli *cli);
enum exit_code cmd_bench_produce(struct cli *cli);
enum exit_code cmd_bench_consume(struct cli *cli);
enum exit_code cmd_bench_view(struct cli *cli);
enum exit_code cmd_bench_append(struct cli *cli);
enum exit_code cmd_demo(struct cli *cli);
enum exit_code cmd_demo_events(struct cli *cli);
enum exit_code cmd_demo_fix(struct cli *cli);
enum exit_code cmd_demo_stop(struct cli *cli);
enum exit_code cmd_errors(struct cli *cli);
enum exit_code cmd_version(struct cli *cli);
/* Says that the verb is not there yet: EXIT_FAILED with ERR_NOT_YET. */
enum exit_code cmd_not_yet(struct cli *cli);
