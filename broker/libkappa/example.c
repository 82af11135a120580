/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All of libkappa in one page:  example REQUESTS-URL [FEED-URL PREFIX]
 * Creates a topic, appends, reads back; with a feed, prints one event of it.
 *
 *   cc example.c libkappa.a -llz4 -lzstd -lz -lsnappy -o example
 */
#include "kappa.h"
#include <stdio.h>

static int print(void *ctx, const struct kappa_record *r)
{
	(void)ctx;
	printf("%lld: %.*s -> %.*s\n", (long long)r->offset, (int)r->key_len, (const char *)r->key,
	    (int)r->value_len, (const char *)r->value);
	return 0;
}

static int tour(struct kappa *k)
{
	const struct kappa_record records[] = {
	    {.key = "de", .key_len = 2, .value = "Hallo", .value_len = 5},
	    {.key = "fr", .key_len = 2, .value = "Bonjour", .value_len = 7},
	};
	struct kappa_consume from = {.topic = "greetings", .wait_ms = 1000};
	int64_t offset, start, end;
	int rc = kappa_topic_create(k, "greetings", 1);
	if (rc != 0 && rc != 36 /* it is there */)
		return rc;
	if ((rc = kappa_produce(k, "greetings", 0, records, 2, &offset)) != 0)
		return rc;
	if ((rc = kappa_offsets(k, "greetings", 0, &start, &end)) != 0)
		return rc;
	printf("appended at %lld, the log is [%lld, %lld)\n", (long long)offset, (long long)start,
	    (long long)end);
	from.offset = offset;
	while (from.offset < end && (rc = kappa_consume(k, &from, print, NULL)) == 0)
		;
	return rc;
}

static int watch(const char *url, const char *prefix)
{
	struct kappa_feed *f;
	struct kappa_event e;
	int rc = kappa_subscribe(url, prefix, 5000, &f);
	if (rc != 0)
		return rc;
	printf("subscribed\n");
	fflush(stdout);
	if ((rc = kappa_feed_next(f, 20000, &e)) == 0)
		printf("%s %.*s\n", e.topic, (int)e.payload_len, (const char *)e.payload);
	kappa_feed_close(f);
	return rc;
}

int main(int argc, char **argv)
{
	struct kappa *k;
	if (argc != 2 && argc != 4) {
		fprintf(stderr, "usage: example REQUESTS-URL [FEED-URL PREFIX]\n");
		return 2;
	}
	int rc = kappa_open(argv[1], 5000, &k);
	if (rc != 0) {
		fprintf(stderr, "%s: error %d\n", argv[1], rc);
		return 1;
	}
	if ((rc = tour(k)) != 0)
		fprintf(stderr, "error %d: %s\n", rc, kappa_message(k));
	kappa_close(k);
	if (rc == 0 && argc == 4 && (rc = watch(argv[2], argv[3])) != 0)
		fprintf(stderr, "feed: error %d\n", rc);
	return rc != 0;
}
