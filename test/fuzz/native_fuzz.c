/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes to a whole server over the native door, behind its greeting unless the input begins with
 * one: framing, request headers, and every handler behind them. Each message of the input is u16
 * length and bytes, and is sent with the framing of a REQ, or, where the length's high bit is set,
 * as it is.
 */
#include "test/fuzz/fuzz.h"
#include "test/lib/kafka_random.h"
#include "test/lib/tempdir.h"
#include "broker/broker.h"
#include "broker/kafka/request.h"
#include "broker/native/sp.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { RAW = 0x8000 };

static struct {
	struct io *io;
	struct loop *loop;
	struct log *log;
	struct broker *broker;
	struct thread thread;
	char *dir;
	char url[100];
} server;

static void run(void *arg)
{
	(void)arg;
	ASSERT(loop_run(server.loop) == ERR_OK);
}

static void end(void)
{
	loop_stop(server.loop);
	thread_join(&server.thread);
	loop_own(server.loop);
	broker_close(server.broker);
	log_close(server.log);
	loop_free(server.loop);
	io_free(server.io);
	tempdir_remove(server.dir);
}

static void open_server(void)
{
	server.dir = tempdir_new();
	struct log_options lo = {.data_dir = server.dir, .journal_bytes = JOURNAL_BYTES_MIN};
	struct broker_options bo = {.native.requests = server.url, .no_auto_create = true};
	snprintf(server.url, sizeof(server.url), "ipc://%s/n.ipc", server.dir);
	diag_set_level(DIAG_ERROR);
	ASSERT(io_new("threads", &server.io) == ERR_OK);
	ASSERT(loop_new(server.io, 1, &server.loop) == ERR_OK);
	ASSERT(log_open(server.loop, &lo, &server.log) == ERR_OK);
	ASSERT(broker_open(server.loop, server.log, &bo, &server.broker) == ERR_OK);
	loop_disown(server.loop);
	ASSERT(thread_start(&server.thread, "fuzz-server", run, NULL) == ERR_OK);
	atexit(end);
}

static int dial(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", server.url + 6);
	ASSERT(fd >= 0);
	fuzz_connect(fd, (struct sockaddr *)&sa, sizeof(sa));
	return fd;
}

static void put(int fd, const void *p, size_t len)
{
	ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
	(void)n; /* the server may have closed: that is a right answer */
}

static void put_message(int fd, struct bytes b)
{
	uint8_t head[SP_LENGTH_BYTES_MAX + 4];
	size_t prefix = sp_length_put(head, SP_IPC, b.len + 4);
	put_u32_be(head + prefix, 0x80000001);
	put(fd, head, prefix + 4);
	put(fd, b.ptr, b.len);
}

void native_fuzz(struct bytes in)
{
	if (!server.loop)
		open_server();
	int fd = dial();
	struct reader r = reader_of(in);
	bool own = in.len >= 2 && in.ptr[0] == 0 && in.ptr[1] == 'S';
	if (!own)
		put(fd, sp_greeting(SP_REQ), SP_GREETING_BYTES);
	else
		put(fd, in.ptr, in.len);
	while (!own && reader_left(&r) > 2) {
		uint16_t word = read_u16_be(&r);
		size_t len = (size_t)(word & 0x7fff), left = reader_left(&r);
		struct bytes b = read_bytes(&r, len < left ? len : left);
		if (word & RAW)
			put(fd, b.ptr, b.len);
		else
			put_message(fd, b);
	}
	shutdown(fd, SHUT_WR);
	fuzz_drain(fd);
	close(fd);
}

void native_seeds(void (*emit)(void *ctx, struct bytes in), void *ctx)
{
	const struct dispatch_row *row;
	struct arena arena;
	struct prng rng;
	struct kafka_random k = {.rng = &rng, .arena = &arena, .tame = true};
	prng_init(&rng, 1);
	arena_init(&arena, 64 * MIB);
	for (size_t i = 0; (row = dispatch_at(i)); i++) {
		const struct msg_api *api = msg_api_find(row->key);
		struct msg_form form = msg_request_form(api, row->max);
		struct msg_out out;
		void *body = arena_calloc(&arena, 1, api->request->size);
		kafka_random_fill(&k, form, body);
		msg_out_init(&out, MIB);
		out.copy = true;
		write_u16_be(&out.w, 0);
		write_u16_be(&out.w, (uint16_t)row->key);
		write_u16_be(&out.w, (uint16_t)row->max);
		write_u32_be(&out.w, 1);
		write_u16_be(&out.w, 0xffff);
		if (form.flexible)
			write_u8(&out.w, 0);
		ASSERT(msg_encode(form, body, &out) == ERR_OK);
		put_u16_be(out.w.ptr, (uint16_t)(out.w.len - 2));
		emit(ctx, writer_bytes(&out.w));
		msg_out_release(&out);
		arena_clear(&arena);
	}
	emit(ctx, bytes_of(sp_greeting(SP_SUB), SP_GREETING_BYTES));
	emit(ctx, str_bytes(STR("\x80\x10\1\0\0\0\0\0\0\0\7\x80\0\0\1\0\0\0")));
	arena_release(&arena);
}
