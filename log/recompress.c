/* SPDX-License-Identifier: Apache-2.0 */
/* Which segments want another codec: see recompress.h. */
#include "log/recompress.h"
#include "log/engine.h"

int recompress_codec(const struct log_topic_config *config)
{
	return config->compression > BATCH_NONE ? config->compression : -1;
}

static bool wants(const struct segment *s, int codec)
{
	if (s->codec_seen == codec + 1)
		return false; /* looked through: there is nothing to do */
	return s->rewrite.end_offset == 0 || s->rewrite.codec != (uint16_t)codec;
}

bool compact_plan_codec(struct log_partition *p, struct compact_plan *ret_plan)
{
	struct segment *s = NULL;
	if (!compact_may_rewrite(p))
		return false;
	int codec = recompress_codec(&p->topic->config);
	if (codec < 0)
		return false;
	while ((s = compact_settled(p, s)) && !wants(s, codec))
		;
	if (!s)
		return false;
	*ret_plan = (struct compact_plan){.kind = COMPACT_CODEC, .p = p, .segment = s};
	return true;
}

enum err recompress_survey_step(struct compact_job *j)
{
	struct frame f;
	struct bytes batch;
	struct batch_header h;
	j->step_bytes = 0;
	j->walk.check_body = false;
	while (j->step_bytes < COMPACT_STEP_BYTES) {
		enum err e = compact_next(j, j->input_count, &f, &batch);
		if (e == ERR_EOF && j->stats.batches == 0)
			j->limit = 0;
		TRY(e);
		TRY(batch_header_read(batch, &h));
		bool other = batch_codec(&h) != j->codec && h.count > 0 &&
		             !(h.attributes & BATCH_ATTR_CONTROL);
		j->stats.batches += other;
	}
	return ERR_OK;
}
