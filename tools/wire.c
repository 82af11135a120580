/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/wire.h"
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	API_PRODUCE = 0,
	API_FETCH = 1,
	PRODUCE_VERSION = 7,
	FETCH_VERSION = 10,
	ACK_TIMEOUT_MS = 30000
};
#define ANSWER_MAX (128 * MIB)

static enum err split_address(const char *address, char *host, size_t len, const char **ret_port)
{
	const char *colon = strrchr(address, ':');
	if (!colon || (size_t)(colon - address) >= len)
		return err_note(ERR_INVALID, "'%s': HOST:PORT is expected", address);
	snprintf(host, len, "%.*s", (int)(colon - address), address);
	*ret_port = colon + 1;
	return ERR_OK;
}

static int connect_any(const struct addrinfo *list)
{
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol),
		    one = 1;
		if (fd < 0)
			continue;
		if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
			return fd;
		}
		close(fd);
	}
	return -1;
}

enum err wire_open(struct wire *w, const char *address)
{
	char host[256];
	const char *port = NULL;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	TRY(split_address(address, host, sizeof host, &port));
	int rc = getaddrinfo(host, port, &hints, &list);
	if (rc)
		return err_note(ERR_CONNECT, "%s: %s", address, gai_strerror(rc));
	int fd = connect_any(list);
	freeaddrinfo(list);
	if (fd < 0)
		return err_note(ERR_CONNECT, "nothing answers at %s", address);
	*w = (struct wire){.fd = fd};
	writer_init(&w->out, ANSWER_MAX);
	return ERR_OK;
}

void wire_close(struct wire *w)
{
	if (w->fd > 0)
		close(w->fd);
	writer_release(&w->out);
	mem_free(w->in);
	*w = (struct wire){0};
}

static void put_string(struct writer *w, const char *s)
{
	write_u16_be(w, (uint16_t)strlen(s));
	write_cstr(w, s);
}

static void begin(struct wire *w, uint16_t api, uint16_t version)
{
	writer_clear(&w->out);
	write_u32_be(&w->out, 0); /* length, patched */
	write_u16_be(&w->out, api);
	write_u16_be(&w->out, version);
	write_u32_be(&w->out, (uint32_t)w->correlation++);
	put_string(&w->out, "kappa-bench");
}

static enum err send_all(struct wire *w)
{
	TRY(w->out.err);
	writer_patch_u32_be(&w->out, 0, (uint32_t)(w->out.len - 4));
	for (size_t sent = 0; sent < w->out.len;) {
		ssize_t n = send(w->fd, w->out.ptr + sent, w->out.len - sent, MSG_NOSIGNAL);
		if (n <= 0)
			return err_sys("send to the broker");
		sent += (size_t)n;
	}
	return ERR_OK;
}

static enum err recv_all(struct wire *w, uint8_t *to, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = recv(w->fd, to + got, len - got, MSG_WAITALL);
		if (n == 0)
			return err_note(ERR_CLOSED, "the broker closed the connection");
		if (n < 0)
			return err_sys("receive from the broker");
		got += (size_t)n;
	}
	return ERR_OK;
}

/* One whole answer, positioned behind the correlation id. */
static enum err receive(struct wire *w, struct reader *ret_reader)
{
	uint8_t head[4];
	TRY(recv_all(w, head, 4));
	size_t len = get_u32_be(head);
	if (len < 4 || len > ANSWER_MAX)
		return err_note(ERR_CORRUPT, "an answer of %zu bytes", len);
	if (len > w->in_capacity) {
		uint8_t *grown = mem_realloc(w->in, len);
		if (!grown)
			return ERR_NOMEM;
		w->in = grown;
		w->in_capacity = len;
	}
	TRY(recv_all(w, w->in, len));
	*ret_reader = reader_of(bytes_of(w->in, len));
	read_skip(ret_reader, 4);
	return ERR_OK;
}

static enum err broker_err(int16_t code, const char *what)
{
	if (code == 0)
		return ERR_OK;
	enum err err = err_from_kafka(code);
	return err == ERR_SYS ? err_note(err, "%s: Kafka error %d", what, code)
	                      : err_note(err, "%s", what);
}

enum err wire_produce(
    struct wire *w, const char *topic, int32_t partition, int16_t acks, struct bytes batch)
{
	begin(w, API_PRODUCE, PRODUCE_VERSION);
	write_u16_be(&w->out, 0xffff); /* no transactional id */
	write_u16_be(&w->out, (uint16_t)acks);
	write_u32_be(&w->out, ACK_TIMEOUT_MS);
	write_u32_be(&w->out, 1);
	put_string(&w->out, topic);
	write_u32_be(&w->out, 1);
	write_u32_be(&w->out, (uint32_t)partition);
	write_u32_be(&w->out, (uint32_t)batch.len);
	write_bytes(&w->out, batch);
	return send_all(w);
}

enum err wire_produced(struct wire *w, int64_t *ret_offset)
{
	struct reader r;
	TRY(receive(w, &r));
	read_skip(&r, 4);               /* one topic */
	read_skip(&r, read_u16_be(&r)); /* its name */
	read_skip(&r, 8);               /* one partition, its index */
	int16_t code = read_i16_be(&r);
	int64_t offset = read_i64_be(&r);
	if (r.bad)
		return err_note(ERR_CORRUPT, "a produce answer is cut");
	TRY(broker_err(code, "produce"));
	*ret_offset = offset;
	return ERR_OK;
}

enum err wire_fetch(struct wire *w, const struct wire_place *from, int32_t max_bytes,
    struct wire_fetched *ret_fetched)
{
	struct reader r;
	begin(w, API_FETCH, FETCH_VERSION);
	write_u32_be(&w->out, UINT32_MAX); /* replica id -1 */
	write_u32_be(&w->out, 500);        /* max wait ms */
	write_u32_be(&w->out, 1);          /* min bytes */
	write_u32_be(&w->out, (uint32_t)max_bytes);
	write_u8(&w->out, 0);              /* read uncommitted */
	write_u32_be(&w->out, 0);          /* no session */
	write_u32_be(&w->out, UINT32_MAX); /* nor one to open */
	write_u32_be(&w->out, 1);
	put_string(&w->out, from->topic);
	write_u32_be(&w->out, 1);
	write_u32_be(&w->out, (uint32_t)from->partition);
	write_u32_be(&w->out, UINT32_MAX); /* leader epoch not known */
	write_u64_be(&w->out, (uint64_t)from->offset);
	write_u64_be(&w->out, UINT64_MAX); /* log start: none of ours */
	write_u32_be(&w->out, (uint32_t)max_bytes);
	write_u32_be(&w->out, 0); /* no topic to forget */
	TRY(send_all(w));
	TRY(receive(w, &r));
	read_skip(&r, 4); /* throttle time */
	int16_t refused = read_i16_be(&r);
	read_skip(&r, 8);               /* session, one topic */
	read_skip(&r, read_u16_be(&r)); /* its name */
	read_skip(&r, 8);               /* one partition, its index */
	int16_t code = read_i16_be(&r);
	ret_fetched->high_watermark = read_i64_be(&r);
	read_skip(&r, 16); /* last stable offset, log start */
	int32_t aborted = read_i32_be(&r);
	if (aborted > 0)
		read_skip(&r, (size_t)aborted * 16);
	int32_t len = read_i32_be(&r);
	ret_fetched->records = read_bytes(&r, len > 0 ? (size_t)len : 0);
	TRY(broker_err(refused, "fetch"));
	if (r.bad)
		return err_note(ERR_CORRUPT, "a fetch answer is cut");
	return broker_err(code, "fetch");
}
