/* SPDX-License-Identifier: Apache-2.0 */
#include "protocols.h"

size_t protocols_len(const struct group_protocol *from, size_t count)
{
	size_t len = count * sizeof *from;
	for (size_t i = 0; i < count; i++)
		len += from[i].name.len + from[i].metadata.len;
	return len;
}

/* The array, then names and metadata. */
enum err protocols_copy(
    const struct group_protocol *from, size_t count, struct group_protocol **ret_copy)
{
	size_t len = protocols_len(from, count);
	struct group_protocol *copy = mem_alloc(len ? len : 1);
	if (!copy)
		return ERR_NOMEM;
	uint8_t *at = (uint8_t *)(copy + count);
	for (size_t i = 0; i < count; i++) {
		copy[i].name = str_from(at, from[i].name.len);
		if (from[i].name.len)
			memcpy(at, from[i].name.ptr, from[i].name.len);
		at += from[i].name.len;
		copy[i].metadata = bytes_of(at, from[i].metadata.len);
		if (from[i].metadata.len)
			memcpy(at, from[i].metadata.ptr, from[i].metadata.len);
		at += from[i].metadata.len;
	}
	*ret_copy = copy;
	return ERR_OK;
}

bool protocols_have(const struct group_protocol *protocols, size_t count, struct str name)
{
	for (size_t i = 0; i < count; i++) {
		if (str_equal(protocols[i].name, name))
			return true;
	}
	return false;
}

/* ---- support --------------------------------------------------------------------------------- */

size_t support_count(const struct map *support, struct str name)
{
	const struct protocol_support *s = map_get(support, str_bytes(name));
	return s ? s->members : 0;
}

/* A name that a member says twice counts once. */
static bool said_before(const struct group_protocol *protocols, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (str_equal(protocols[k].name, protocols[i].name))
			return true;
	}
	return false;
}

void support_drop(struct map *support, const struct group_protocol *protocols, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (said_before(protocols, i))
			continue;
		struct protocol_support *s = map_get(support, str_bytes(protocols[i].name));
		ASSERT(s && s->members > 0);
		if (--s->members > 0)
			continue;
		map_remove(support, str_bytes(str_from(s->name, protocols[i].name.len)));
		mem_free(s->name);
		mem_free(s);
	}
}

static enum err support_one(struct map *support, struct str name)
{
	struct protocol_support *s = map_get(support, str_bytes(name));
	if (!s) {
		s = mem_calloc(1, sizeof *s);
		if (!s)
			return ERR_NOMEM;
		s->name = mem_strdup(name);
		if (!s->name ||
		    map_put(support, str_bytes(str_from(s->name, name.len)), s) != ERR_OK) {
			mem_free(s->name);
			mem_free(s);
			return ERR_NOMEM;
		}
	}
	s->members++;
	return ERR_OK;
}

enum err support_add(struct map *support, const struct group_protocol *protocols, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		enum err err =
		    said_before(protocols, i) ? ERR_OK : support_one(support, protocols[i].name);
		if (err != ERR_OK) {
			support_drop(support, protocols, i);
			return err;
		}
	}
	return ERR_OK;
}
