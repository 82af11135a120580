/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths made into a trie, and what the walk of json.c asks of it. After json_paths_new nothing
 * changes but the predictions.
 */
#include "json_paths.h"
#include "limits.h"

enum { PATHS_BYTES_MAX = 64 << 20, ESCAPED_BYTES_MAX = 6 /* \u0041 */ };

/* ---- names ----------------------------------------------------------------------------------- */

static bool fold_equal(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		uint8_t x = (uint8_t)a.ptr[i], y = (uint8_t)b.ptr[i];
		x = (uint8_t)(x - 'A') < 26 ? (uint8_t)(x | 32) : x;
		y = (uint8_t)(y - 'A') < 26 ? (uint8_t)(y | 32) : y;
		if (x != y)
			return false;
	}
	return true;
}

uint16_t trie_match(const struct trie *node, uint16_t from, struct str key, struct match *ret_match)
{
	uint16_t i = from;
	for (; i < node->child_count; i++) {
		struct trie *c = &node->children[i];
		if (!c->key.ptr || c->key.len != key.len)
			continue;
		bool exact = str_equal(c->key, key);
		if (exact || (!c->exact_case && fold_equal(c->key, key))) {
			bool leaf = exact && c->child_count == 0;
			*ret_match = (struct match){c, c->value, leaf, exact};
			break;
		}
	}
	return i;
}

struct trie *trie_element(const struct trie *node, int64_t index)
{
	for (uint16_t i = 0; i < node->child_count; i++)
		if (!node->children[i].key.ptr && node->children[i].index == index)
			return &node->children[i];
	return NULL;
}

/*
 * A name that is new at its place replaces the one that stood there. Over a few documents the table
 * comes to hold the optional members too, and a document that leaves some out finds the next one a
 * few places ahead.
 */
struct predicted *trie_learn(
    const struct trie *node, struct predicted *place, struct str text, struct match match)
{
	if (place == node->predict + PREDICT_MEMBERS || text.len > PREDICT_BYTES)
		return place;
	place->match = match;
	place->len = text.len;
	memcpy(place->text, text.ptr, text.len);
	return place + 1;
}

/* ---- building -------------------------------------------------------------------------------- */

static bool same_step(const struct trie *a, const struct trie *b)
{
	if (!a->key.ptr || !b->key.ptr)
		return !a->key.ptr && !b->key.ptr && a->index == b->index;
	return a->exact_case == b->exact_case && str_equal(a->key, b->key);
}

static enum err grow_children(struct json_paths *p, struct trie *node)
{
	uint16_t capacity = node->child_capacity ? (uint16_t)(node->child_capacity * 2) : 4;
	struct trie *grown = arena_calloc(&p->arena, capacity, sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	if (node->child_count)
		memcpy(grown, node->children, node->child_count * sizeof(*grown));
	node->children = grown;
	node->child_capacity = capacity;
	return ERR_OK;
}

/*
 * Finds or adds the child of `node` for one step. Children move: no pointers into them are kept
 * while building.
 */
static enum err child_of(
    struct json_paths *p, struct trie *node, const struct trie *step, struct trie **ret_child)
{
	for (uint16_t i = 0; i < node->child_count; i++) {
		if (same_step(&node->children[i], step)) {
			*ret_child = &node->children[i];
			return ERR_OK;
		}
	}
	if (node->child_count == VIEW_COLUMNS_MAX)
		return err_note(ERR_LIMIT, "more than %d members in one object", VIEW_COLUMNS_MAX);
	if (node->child_count == node->child_capacity)
		TRY(grow_children(p, node));
	struct trie *c = &node->children[node->child_count];
	*c = *step;
	if (step->key.ptr) {
		c->key = arena_copy_str(&p->arena, step->key);
		if (!c->key.ptr)
			return ERR_NOMEM;
		if (p->name_max < step->key.len * ESCAPED_BYTES_MAX)
			p->name_max = step->key.len * ESCAPED_BYTES_MAX;
	}
	node->child_count++;
	*ret_child = c;
	return ERR_OK;
}

/* Quoted key or index between brackets; *at is behind '['. */
static bool parse_bracket(struct str path, size_t *at, struct trie *step)
{
	size_t i = *at;
	if (i < path.len && (path.ptr[i] == '\'' || path.ptr[i] == '"')) {
		char quote = path.ptr[i++];
		size_t from = i;
		while (i < path.len && path.ptr[i] != quote)
			i++;
		step->key = str_from(path.ptr + from, i - from);
		i++;
	} else {
		size_t from = i;
		while (i < path.len && path.ptr[i] != ']')
			i++;
		struct str digits = str_from(path.ptr + from, i - from);
		if (!str_to_i64(digits, &step->index) || step->index < 0)
			return false;
	}
	if (i >= path.len || path.ptr[i] != ']')
		return false;
	*at = i + 1;
	return true;
}

static bool parse_step(struct str path, size_t *at, struct trie *step)
{
	*step = (struct trie){.exact_case = true};
	char lead = path.ptr[(*at)++];
	if (lead == '[')
		return parse_bracket(path, at, step);
	if (lead != '.')
		return false;
	size_t from = *at;
	if (*at < path.len && path.ptr[*at] == '"') {
		from = ++*at;
		while (*at < path.len && path.ptr[*at] != '"')
			++*at;
		if (*at == path.len)
			return false;
		step->key = str_from(path.ptr + from, (*at)++ - from);
		return true;
	}
	while (*at < path.len && path.ptr[*at] != '.' && path.ptr[*at] != '[')
		++*at;
	step->key = str_from(path.ptr + from, *at - from);
	return step->key.len > 0;
}

/* Finds the node of a path, adding what is missing. */
static enum err add_path(
    struct json_paths *p, const struct json_path_spec *spec, struct trie **ret_node)
{
	struct trie *node = &p->root, step;
	if (!spec->is_path) {
		step = (struct trie){.key = spec->path, .exact_case = spec->exact_case};
		return child_of(p, node, &step, ret_node);
	}
	if (spec->path.len < 2 || spec->path.ptr[0] != '$')
		return err_note(ERR_INVALID, "path '" STR_FMT "': it starts with $. or $[",
		    STR_ARG(spec->path));
	for (size_t at = 1, steps = 0; at < spec->path.len; steps++) {
		if (!parse_step(spec->path, &at, &step) || steps == JSON_DEPTH_MAX)
			return err_note(ERR_INVALID,
			    "path '" STR_FMT "': .name or [number] expected before byte %zu",
			    STR_ARG(spec->path), at + 1);
		TRY(child_of(p, node, &step, &node));
	}
	*ret_node = node;
	return ERR_OK;
}

static enum err add_predictions(struct json_paths *p, struct trie *node)
{
	if (!node->child_count)
		return ERR_OK;
	node->predict = arena_calloc(&p->arena, PREDICT_MEMBERS + 1, sizeof(*node->predict));
	if (!node->predict)
		return ERR_NOMEM;
	for (size_t i = 0; i <= PREDICT_MEMBERS; i++)
		node->predict[i].len = PREDICT_END;
	for (uint16_t i = 0; i < node->child_count; i++)
		TRY(add_predictions(p, &node->children[i]));
	return ERR_OK;
}

static enum err paths_build(struct json_paths *p, const struct json_path_spec *specs)
{
	struct trie *node;
	for (size_t i = 0; i < p->count; i++)
		TRY(add_path(p, &specs[i], &node));
	/* again, now that the nodes stay where they are */
	for (size_t i = 0; i < p->count; i++) {
		TRY(add_path(p, &specs[i], &node));
		if (node->wanted) {
			p->shared[p->shared_count++] =
			    (struct shared_value){.from = node->value, .to = (uint16_t)i};
			continue;
		}
		node->wanted = true;
		node->value = (uint16_t)i;
	}
	p->name = arena_alloc(&p->arena, p->name_max);
	return p->name ? add_predictions(p, &p->root) : ERR_NOMEM;
}

enum err json_paths_new(
    const struct json_path_spec *specs, size_t count, struct json_paths **ret_paths)
{
	if (count > VIEW_COLUMNS_MAX)
		return err_note(ERR_LIMIT, "%zu paths, at most %d", count, VIEW_COLUMNS_MAX);
	struct json_paths *p = mem_calloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	arena_init(&p->arena, PATHS_BYTES_MAX);
	p->count = count;
	p->shared = arena_calloc(&p->arena, count + 1, sizeof(*p->shared));
	enum err e = p->shared ? paths_build(p, specs) : ERR_NOMEM;
	if (e != ERR_OK) {
		json_paths_free(p);
		return e;
	}
	*ret_paths = p;
	return ERR_OK;
}

void json_paths_free(struct json_paths *p)
{
	if (!p)
		return;
	arena_release(&p->arena);
	mem_free(p);
}
