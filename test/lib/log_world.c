/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/log_world.h"
#include "log/checkpoint.h"
#include <stdio.h>

static void event_sink(void *ctx, const char *line)
{
	struct log_world *w = ctx;
	size_t used = strlen(w->events);
	snprintf(w->events + used, sizeof(w->events) - used, "%s\n", line);
}

static void off(struct log_world *w)
{
	if (w->io)
		log_fixture_release(&w->f);
	io_free(w->io);
	w->io = NULL;
}

void log_world_boot(struct log_world *w)
{
	off(w);
	assert_ok(sim_io_new(w->disk, &w->options, &w->io));
	log_fixture_init_io(&w->f, w->io, "/data");
	w->f.options.journal_bytes = MIB;
	if (w->configure)
		w->configure(w);
	w->events[0] = '\0';
}

int log_world_setup(void **state)
{
	struct log_world *w = *state;
	struct sim_options options = {
	    .seed = 1, .latency_min_ns = 10 * US_NS, .latency_max_ns = 20 * US_NS};
	*w = (struct log_world){
	    .disk = sim_disk_new(0), .options = options, .configure = w->configure};
	diag_set_sink(event_sink, w);
	map_set_seed(1);
	log_world_boot(w);
	assert_ok(log_fixture_open(&w->f));
	return 0;
}

void log_world_end(struct log_world *w, enum log_world_end how)
{
	if (how == WORLD_STOPPED)
		log_fixture_close(&w->f);
	struct sim_disk *after = how == WORLD_KILLED ? sim_io_kill(w->io, w->options.seed)
	                                             : sim_io_cut_power(w->io, w->options.seed);
	off(w);
	sim_disk_free(w->disk);
	w->disk = after;
	log_world_boot(w);
}

int log_world_teardown(void **state)
{
	struct log_world *w = *state;
	log_fixture_close(&w->f);
	off(w);
	sim_disk_free(w->disk);
	diag_set_sink(NULL, NULL);
	err_clear();
	return 0;
}

bool log_world_told(const struct log_world *w, const char *event)
{
	char text[64];
	snprintf(text, sizeof(text), "event=%s ", event);
	return strstr(w->events, text) != NULL;
}

void log_world_assert_told(const struct log_world *w, const char *event, bool told)
{
	if (log_world_told(w, event) != told)
		fail_msg("%s event=%s in:\n%s", told ? "no" : "an", event, w->events);
}

void log_world_lose_records(struct log_world *w)
{
	for (int i = 0; i < CHECKPOINT_SLOTS; i++) {
		char path[64];
		struct io_stat st;
		snprintf(path, sizeof(path), "/data/journal/checkpoint-%d", i);
		if (io_stat(w->io, path, &st) == ERR_OK)
			log_world_flip(w, path, 20, 0x10);
	}
	err_clear();
}

void log_world_assert_readable(struct log_world *w, int topic, int64_t from, int64_t to)
{
	struct log_read r;
	for (int64_t i = from; i < to; i++) {
		assert_ok(log_read_wait(&w->f, topic, 0, i, 1, &r));
		assert_int_equal(r.batch_count, 1);
		assert_int_equal(log_batch_tag(r.batches[0]), i + 1);
		assert_int_equal(r.next_offset, i + 1);
		log_read_release(&r);
	}
}

uint64_t log_world_size(struct log_world *w, const char *path)
{
	struct io_stat st;
	assert_ok(io_stat(w->io, path, &st));
	return st.size_bytes;
}

void log_world_flip(struct log_world *w, const char *path, uint64_t pos, uint8_t mask)
{
	uint8_t byte;
	int fd;
	assert_ok(io_open(w->io, path, 0, &fd));
	assert_ok(io_pread_all(w->io, fd, &byte, 1, pos));
	byte ^= mask;
	assert_ok(io_pwrite(w->io, fd, &byte, 1, pos));
	assert_ok(io_fsync(w->io, fd));
	assert_ok(io_close(w->io, fd));
}

void log_world_cut(struct log_world *w, const char *path, uint64_t size)
{
	int fd;
	assert_ok(io_open(w->io, path, 0, &fd));
	assert_ok(io_truncate(w->io, fd, size));
	assert_ok(io_fsync(w->io, fd));
	assert_ok(io_close(w->io, fd));
}
