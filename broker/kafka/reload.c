/* SPDX-License-Identifier: Apache-2.0 */
/* Reading key and certificates again while the server runs: on the service pool. */
#include "broker/kafka/server.h"
#include "broker/kafka/tls.h"

struct broker_reload_work {
	struct broker *broker;
	struct crypto_work work;
	struct tls_server *tls;
	enum err err;
	char why[400];
};

static void run(struct crypto_work *work)
{
	struct broker_reload_work *r = CONTAINER_OF(work, struct broker_reload_work, work);
	err_clear();
	r->err = tls_server_new(r->broker->io, &r->broker->options.tls, &r->tls);
	diag_quote(r->why, sizeof(r->why), str_of(err_chain()));
	err_clear();
}

static void done(struct crypto_work *work)
{
	struct broker_reload_work *r = CONTAINER_OF(work, struct broker_reload_work, work);
	struct broker *b = r->broker;
	enum err err = work->err != ERR_OK ? work->err : r->err;
	b->reload = NULL;
	if (err == ERR_OK) {
		tls_server_free(b->tls);
		b->tls = r->tls;
		diag(DIAG_INFO, "tls_reloaded", "certificate=\"%s\"",
		    b->options.tls.certificate_path);
	} else {
		diag(DIAG_ERROR, "tls_not_reloaded", "err=%s reason=%s", err_name(err), r->why);
	}
	mem_free(r);
}

static void start(void *arg)
{
	struct broker *b = arg;
	if (!b->tls || b->reload || b->closing)
		return;
	struct broker_reload_work *r = mem_calloc(1, sizeof(*r));
	if (!r) {
		diag(DIAG_ERROR, "tls_not_reloaded", "err=%s", err_name(ERR_NOMEM));
		return;
	}
	r->broker = b;
	r->work.run = run;
	r->work.done = done;
	b->reload = r;
	crypto_submit(&b->crypto, &r->work);
}

void broker_reload(struct broker *b)
{
	loop_call(b->loop, start, b);
}
