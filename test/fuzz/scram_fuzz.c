/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both messages of a SCRAM client, with a zero byte between them. What passes for a proof without
 * the password is a break-in.
 */
#include "test/fuzz/fuzz.h"
#include "broker/auth/scram.h"

void scram_fuzz(struct bytes in)
{
	struct scram s;
	struct writer out;
	struct scram_credential credential = {.mechanism = SCRAM_SHA_256,
	    .iterations = SCRAM_ITERATIONS_MIN,
	    .salt_len = SCRAM_SALT_BYTES};
	const uint8_t *zero = in.len > 0 ? memchr(in.ptr, 0, in.len) : NULL;
	size_t at = zero ? (size_t)(zero - in.ptr) : in.len;
	struct bytes last = bytes_slice(in, zero ? at + 1 : at, in.len);
	memset(credential.stored_key, 0x5a, sizeof(credential.stored_key));
	scram_init(&s);
	writer_init(&out, 64 * KIB);
	if (scram_first(&s, bytes_slice(in, 0, at)) == ERR_OK &&
	    scram_challenge(&s, &credential, STR("servernonce"), &out) == ERR_OK)
		ASSERT(scram_final(&s, last, &out) != ERR_OK);
	err_clear();
	writer_release(&out);
	scram_release(&s);
}

void scram_seeds(void (*emit)(void *ctx, struct bytes in), void *ctx)
{
	const struct str seeds[] = {STR("n,,n=user,r=abcdef\0c=biws,r=abcdefservernonce,p="
	                                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
	    STR("y,a=us=2Cer,n=u=3Ds,r=x\0c=eSxhPXVzPTJDZXIs,r=xservernonce,p=AA=="),
	    STR("n,,m=x,n=user,r=abc"), STR("p=tls-unique,,n=user,r=abc"),
	    STR("n,,n=user,r=abc,tokenauth=true\0c=biws,r=abcabcservernonce,p=")};
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		emit(ctx, str_bytes(seeds[i]));
}
