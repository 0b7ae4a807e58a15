/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: foreign bytes as a sealed text, and as a text to seal; the first byte says how long its place
 * is. */
#include <string.h>

#include "fuzz.h"
#include "vault.h"

typedef struct {
    const uint8_t *bytes;
    size_t len;
} part_t;

static const apipool_vault_t *open_vault(void)
{
    static const unsigned char secret[APIPOOL_SECRET_SIZE] = "no seal of the corpus is of this";
    static apipool_vault_t vault;
    static int opened;
    if (!opened) {
        MUST(apipool_vault_open(&vault, secret));
        opened = 1;
    }
    return &vault;
}

/* Unseals into exactly room bytes, which the caller frees. On refusal, all of them are zeros. */
static uint8_t *unseal(part_t place, part_t sealed, size_t room, int *opened, size_t *len)
{
    uint8_t *out = malloc(room ? room : 1);
    MUST(out);
    memset(out, 0xee, room);
    *opened = apipool_vault_unseal(open_vault(), place.bytes, place.len, sealed.bytes, sealed.len,
                                   out, room, len);
    for (size_t i = 0; !*opened && i < room; i++) {
        MUST(out[i] == 0);
    }
    MUST(*opened || *len == 0);
    return out;
}

static void must_refuse(part_t place, part_t sealed, size_t room)
{
    int opened;
    size_t len;
    free(unseal(place, sealed, room, &opened, &len));
    MUST(!opened);
}

static void must_open(part_t place, part_t sealed, part_t plain)
{
    int opened;
    size_t len;
    uint8_t *out = unseal(place, sealed, plain.len, &opened, &len);
    MUST(opened && len == plain.len && (!len || !memcmp(out, plain.bytes, len)));
    free(out);
}

/* Changes one byte of the seal, chosen by the text, which makes it invalid. */
static void check_changes(part_t place, part_t plain, uint8_t *bytes)
{
    part_t sealed = {bytes, plain.len + APIPOOL_VAULT_OVERHEAD};
    size_t choice = plain.len * 31;
    for (size_t i = 0; i < plain.len && i < 8; i++) {
        choice = choice * 31 + plain.bytes[i];
    }
    size_t at = choice % sealed.len;
    uint8_t bit = (uint8_t)(1 << choice / sealed.len % 8);
    bytes[at] ^= bit;
    must_refuse(place, sealed, plain.len);
    bytes[at] ^= bit;
    must_refuse(place, (part_t){bytes, at}, plain.len);
    if (plain.len) {
        must_refuse(place, sealed, plain.len - 1);
    }
    if (place.len) {
        must_refuse((part_t){place.bytes, place.len - 1}, sealed, plain.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    part_t place = {data + 1, data[0] < size ? data[0] : size - 1};
    part_t text = {place.bytes + place.len, size - 1 - place.len};

    must_refuse(place, text, size);
    uint8_t *sealed = malloc(text.len + APIPOOL_VAULT_OVERHEAD);
    MUST(sealed);
    MUST(apipool_vault_seal(open_vault(), place.bytes, place.len, text.bytes, text.len, sealed));
    must_open(place, (part_t){sealed, text.len + APIPOOL_VAULT_OVERHEAD}, text);
    check_changes(place, text, sealed);
    must_open(place, (part_t){sealed, text.len + APIPOOL_VAULT_OVERHEAD}, text);
    free(sealed);
    return 0;
}
