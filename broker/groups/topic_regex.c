/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns over topic names: the machine. topic_regex_parse.c makes the programs. */
#include "topic_regex.h"

/* Where the machine is: instructions that take a byte, or REGEX_FOUND. */
struct places {
	uint16_t at[REGEX_OPS_MAX];
	size_t count;
};

struct machine {
	const struct topic_regex *x;
	struct str name;
	uint64_t *steps;
	uint32_t round;               /* of the byte; nothing is entered twice in one */
	uint32_t seen[REGEX_OPS_MAX]; /* round it was last entered in */
	uint16_t stack[REGEX_OPS_MAX];
	size_t depth;
	struct places here, next;
};

static bool is_word(struct str name, size_t at)
{
	char c = at < name.len ? name.ptr[at] : '-';
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       c == '_';
}

static bool is_border(struct str name, size_t at)
{
	return (at > 0 && is_word(name, at - 1)) != is_word(name, at);
}

/* Nothing is pushed twice in a round, so the stack is never too short. */
static void push(struct machine *m, uint16_t at)
{
	ASSERT(at < m->x->count);
	++*m->steps;
	if (m->seen[at] == m->round)
		return;
	m->seen[at] = m->round;
	m->stack[m->depth++] = at;
}

/* All that can be reached from `at` without taking a byte, before byte `pos` of the name. */
static void enter(struct machine *m, uint16_t at, size_t pos, struct places *places)
{
	push(m, at);
	while (m->depth > 0) {
		at = m->stack[--m->depth];
		const struct regex_ins *ins = &m->x->at[at];
		uint16_t next = (uint16_t)(at + 1);
		switch ((enum regex_op)ins->op) {
		case REGEX_SET:
		case REGEX_FOUND:
			places->at[places->count++] = at;
			break;
		case REGEX_SPLIT:
			push(m, ins->y);
			push(m, ins->x);
			break;
		case REGEX_JUMP:
			push(m, ins->x);
			break;
		case REGEX_START:
			if (pos == 0)
				push(m, next);
			break;
		case REGEX_END:
			if (pos == m->name.len)
				push(m, next);
			break;
		case REGEX_BORDER:
		case REGEX_NO_BORDER:
			if (is_border(m->name, pos) == (ins->op == REGEX_BORDER))
				push(m, next);
			break;
		}
	}
}

static void take_byte(struct machine *m, size_t pos)
{
	uint8_t c = (uint8_t)m->name.ptr[pos];
	m->round++;
	m->next.count = 0;
	for (size_t i = 0; i < m->here.count; i++) {
		const struct regex_ins *ins = &m->x->at[m->here.at[i]];
		++*m->steps;
		if (ins->op == REGEX_SET && c < 128 && (ins->set[c / 64] >> c % 64 & 1))
			enter(m, (uint16_t)(m->here.at[i] + 1), pos + 1, &m->next);
	}
	m->here.count = m->next.count;
	memcpy(m->here.at, m->next.at, m->next.count * sizeof(m->next.at[0]));
}

bool topic_regex_match(const struct topic_regex *x, struct str name, uint64_t *steps)
{
	struct machine m;
	ASSERT(x->count > 0 && x->count <= REGEX_OPS_MAX);
	m.x = x;
	m.name = name;
	m.steps = steps;
	m.round = 1;
	m.depth = m.here.count = 0;
	memset(m.seen, 0, x->count * sizeof(m.seen[0]));
	enter(&m, 0, 0, &m.here);
	for (size_t pos = 0; pos < name.len && m.here.count > 0; pos++)
		take_byte(&m, pos);
	for (size_t i = 0; i < m.here.count; i++) {
		if (x->at[m.here.at[i]].op == REGEX_FOUND)
			return true;
	}
	return false;
}
