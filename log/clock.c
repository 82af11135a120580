/* SPDX-License-Identifier: Apache-2.0 */
/* The two times of a log: see clock.h. */
#include "log/clock.h"
#include "log/engine.h"
#include <stdio.h>

static const char note_key[] = "witness_ns=";
enum { NOTE_KEY_LEN = sizeof(note_key) - 1 };

/* ---- the note: what is known of the time for the next start ---------------------------------- */

/* Leaves *ret_ns alone when there is none, or none that can be read. */
static enum err note_read(struct clock *c, int64_t *ret_ns)
{
	char path[LOG_PATH_MAX];
	struct bytes file;
	int64_t ns = 0;
	TRY(engine_path(c->log, path, "clock"));
	enum err e = io_read_file(c->log->io, path, KIB, &file);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		diag(DIAG_WARN, "clock_note", "error=\"%s\"", err_chain());
	if (e != ERR_OK) {
		err_clear();
		return ERR_OK;
	}
	struct str text = bytes_str(file);
	c->noted = true;
	if (text.len > NOTE_KEY_LEN + 1 && memcmp(text.ptr, note_key, NOTE_KEY_LEN) == 0 &&
	    str_to_i64(str_from(text.ptr + NOTE_KEY_LEN, text.len - NOTE_KEY_LEN - 1), &ns) &&
	    ns > 0)
		*ret_ns = ns;
	mem_free((void *)(uintptr_t)file.ptr);
	return ERR_OK;
}

/* Durable before the first append, which would be the newest record then. */
static void note_write(struct clock *c)
{
	char path[LOG_PATH_MAX], text[64];
	int n = snprintf(text, sizeof(text), "%s%lld\n", note_key, (long long)c->witness_ns);
	enum err e = engine_path(c->log, path, "clock");
	if (e == ERR_OK)
		e = io_write_file(c->log->io, path, bytes_of(text, (size_t)n));
	if (e != ERR_OK)
		diag(DIAG_WARN, "clock_note", "error=\"%s\"", err_chain());
	err_clear();
	c->noted = e == ERR_OK;
}

static void note_remove(struct clock *c)
{
	char path[LOG_PATH_MAX];
	enum err e = engine_path(c->log, path, "clock");
	if (e == ERR_OK)
		e = io_unlink(c->log->io, path);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		diag(DIAG_WARN, "clock_note", "error=\"%s\"", err_chain());
	err_clear();
	c->noted = false; /* one that stays makes a later start doubt an hour longer */
}

/* ---- the clocks ------------------------------------------------------------------------------ */

/* The wall clock, unless it ran ahead of time itself: then on by the clock that nobody sets. */
static int64_t believed(struct clock *c)
{
	int64_t now = loop_realtime_ns(c->log->loop);
	int64_t boot = io_clock_ns(c->log->io, IO_CLOCK_BOOTTIME);
	if (now - boot > c->boot_anchor_ns + CLOCK_AHEAD_NS) {
		diag(DIAG_WARN, "clock_jump", "ahead_s=%lld",
		    (long long)((now - boot - c->boot_anchor_ns) / S_NS));
		return boot + c->boot_anchor_ns;
	}
	/* set back it is not believed less: set right again it has not run ahead */
	if (now - boot > c->boot_anchor_ns)
		c->boot_anchor_ns = now - boot;
	return now;
}

int64_t clock_append(struct clock *c)
{
	int64_t now = believed(c);
	if (now > c->append_ns)
		c->append_ns = now;
	return c->append_ns;
}

int64_t clock_judging(struct clock *c)
{
	int64_t now = believed(c), since = loop_now_ns(c->log->loop) - c->opened_ns;
	if (since >= CLOCK_DOUBT_NS)
		c->doubted = false;
	if (c->doubted)
		return now < c->witness_ns + since ? now : c->witness_ns + since;
	if (c->noted && c->append_ns - now <= CLOCK_AHEAD_NS)
		note_remove(c);
	return now;
}

int64_t clock_age_ns(const struct clock *c, int64_t append_ns, int64_t noted_ns, int64_t now_ns)
{
	int64_t told = now_ns - append_ns;
	int64_t run = loop_now_ns(c->log->loop) - noted_ns;
	return told > run ? told : run;
}

int64_t clock_record_time(const struct clock *c)
{
	int64_t wall = loop_realtime_ns(c->log->loop);
	return c->append_ns - wall > CLOCK_AHEAD_NS ? wall : c->append_ns;
}

/* ---- life ------------------------------------------------------------------------------------ */

void clock_init(struct clock *c, struct log *log)
{
	*c = (struct clock){.log = log,
	    .opened_ns = loop_now_ns(log->loop),
	    .boot_anchor_ns =
	        loop_realtime_ns(log->loop) - io_clock_ns(log->io, IO_CLOCK_BOOTTIME)};
}

enum err clock_start(struct clock *c, int64_t newest_ns)
{
	int64_t now = believed(c);
	c->append_ns = newest_ns;
	c->opened_ns = loop_now_ns(c->log->loop);
	if (newest_ns <= 0)
		return ERR_OK;
	int64_t ahead_ns = newest_ns - now;
	c->witness_ns = newest_ns;
	TRY(note_read(c, &c->witness_ns));
	if (c->witness_ns > now) /* nor can the note be from the future */
		c->witness_ns = now;
	c->doubted = now - c->witness_ns > CLOCK_GAP_NS;
	if (c->doubted)
		diag(DIAG_WARN, "clock_gap", "newest_record_s=%lld retention_waits_s=%lld",
		    (long long)((now - c->witness_ns) / S_NS), (long long)(CLOCK_DOUBT_NS / S_NS));
	if (ahead_ns > CLOCK_AHEAD_NS)
		diag(DIAG_WARN, "clock_behind",
		    "newest_record_ahead_s=%lld what=\"a clock was or is wrong: append times stand "
		    "still until it is there, ages are judged by the wall clock\"",
		    (long long)(ahead_ns / S_NS));
	if (c->doubted || ahead_ns > CLOCK_AHEAD_NS)
		note_write(c);
	return ERR_OK;
}
