#include "privacy/ledger/merkle.h"

#include <string.h>

void csl_merkle_leaf(const void *p, size_t n, uint8_t out[CSL_SHA256_BYTES])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, "\0", 1);
    csl_sha256_update(&h, p, n);
    csl_sha256_final(&h, out);
}

static void node(const uint8_t *left, const uint8_t *right, uint8_t *out)
{
    uint8_t both[1 + 2 * CSL_SHA256_BYTES] = {1};
    struct csl_sha256 h;
    memcpy(both + 1, left, CSL_SHA256_BYTES);
    memcpy(both + 1 + CSL_SHA256_BYTES, right, CSL_SHA256_BYTES);
    csl_sha256_init(&h);
    csl_sha256_update(&h, both, sizeof(both));
    csl_sha256_final(&h, out);
}

void csl_merkle_add(struct csl_merkle *t, const uint8_t leaf[CSL_SHA256_BYTES])
{
    uint8_t carry[CSL_SHA256_BYTES];
    unsigned level = 0;
    memcpy(carry, leaf, sizeof(carry));
    for (; (t->size >> level & 1) != 0; level++)
        node(t->node[level], carry, carry);
    memcpy(t->node[level], carry, sizeof(carry));
    t->size++;
}

void csl_merkle_root(const struct csl_merkle *t, uint8_t out[CSL_SHA256_BYTES])
{
    uint8_t root[CSL_SHA256_BYTES];
    bool has_root = false;
    if (t->size == 0) {
        struct csl_sha256 h;
        csl_sha256_init(&h);
        csl_sha256_final(&h, out);
        return;
    }
    for (unsigned level = 0; level < 64; level++) {
        if ((t->size >> level & 1) == 0)
            continue;
        if (has_root)
            node(t->node[level], root, root);
        else
            memcpy(root, t->node[level], sizeof(root));
        has_root = true;
    }
    memcpy(out, root, sizeof(root));
}

void csl_merkle_recent_add(struct csl_merkle_recent *t, const uint8_t leaf[CSL_SHA256_BYTES])
{
    uint64_t n = t->tree.size;
    if (n % CSL_MERKLE_STRIDE == 0)
        t->snapshots[n / CSL_MERKLE_STRIDE % CSL_MERKLE_SNAPSHOTS] = t->tree;
    memcpy(t->leaves[n % (CSL_MERKLE_STRIDE * CSL_MERKLE_SNAPSHOTS)], leaf, CSL_SHA256_BYTES);
    csl_merkle_add(&t->tree, leaf);
}

bool csl_merkle_recent_root(const struct csl_merkle_recent *t, uint64_t size,
                            uint8_t out[CSL_SHA256_BYTES])
{
    if (size > t->tree.size || t->tree.size - size > CSL_MERKLE_RECENT)
        return false;
    uint64_t base = size / CSL_MERKLE_STRIDE * CSL_MERKLE_STRIDE;
    struct csl_merkle tree = t->tree;
    if (size < tree.size || size == 0) {
        tree = t->snapshots[base / CSL_MERKLE_STRIDE % CSL_MERKLE_SNAPSHOTS];
        for (uint64_t i = base; i < size; i++)
            csl_merkle_add(&tree, t->leaves[i % (CSL_MERKLE_STRIDE * CSL_MERKLE_SNAPSHOTS)]);
    }
    csl_merkle_root(&tree, out);
    return true;
}

/* The largest power of two below n; n > 1. */
static uint64_t split(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

static enum csl_code range_root(csl_merkle_read read, void *ctx, uint64_t from, uint64_t to,
                                uint8_t *out, struct csl_err *err)
{
    struct csl_merkle t = {.size = 0};
    for (uint64_t i = from; i < to; i++) {
        uint8_t leaf[CSL_SHA256_BYTES];
        enum csl_code code = read(ctx, i, leaf, err);
        if (code != CSL_OK)
            return code;
        csl_merkle_add(&t, leaf);
    }
    csl_merkle_root(&t, out);
    return CSL_OK;
}

/* Proofs are found from the root down and listed from the leaf up. */
static void reverse(uint8_t (*hashes)[CSL_SHA256_BYTES], size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        uint8_t t[CSL_SHA256_BYTES];
        memcpy(t, hashes[i], sizeof(t));
        memcpy(hashes[i], hashes[n - 1 - i], sizeof(t));
        memcpy(hashes[n - 1 - i], t, sizeof(t));
    }
}

enum csl_code csl_merkle_prove_inclusion(csl_merkle_read read, void *ctx, uint64_t index,
                                         uint64_t size,
                                         uint8_t hashes[CSL_MERKLE_PROOF_MAX][CSL_SHA256_BYTES],
                                         size_t *count, struct csl_err *err)
{
    if (index >= size)
        return CSL_FAIL(err, CSL_E_INVAL, "inclusion of %llu in a tree of %llu leaves",
                        (unsigned long long)index, (unsigned long long)size);
    uint64_t from = 0, to = size;
    size_t n = 0;
    while (to - from > 1) {
        uint64_t middle = from + split(to - from);
        bool is_left = index < middle;
        enum csl_code code = is_left ? range_root(read, ctx, middle, to, hashes[n], err)
                                     : range_root(read, ctx, from, middle, hashes[n], err);
        if (code != CSL_OK)
            return code;
        n++;
        if (is_left)
            to = middle;
        else
            from = middle;
    }
    reverse(hashes, n);
    *count = n;
    return CSL_OK;
}

enum csl_code csl_merkle_prove_consistency(csl_merkle_read read, void *ctx, uint64_t old_size,
                                           uint64_t size,
                                           uint8_t hashes[CSL_MERKLE_PROOF_MAX][CSL_SHA256_BYTES],
                                           size_t *count, struct csl_err *err)
{
    if (old_size > size)
        return CSL_FAIL(err, CSL_E_INVAL, "a tree of %llu leaves has no larger one of %llu before",
                        (unsigned long long)size, (unsigned long long)old_size);
    uint64_t from = 0, to = size;
    size_t n = 0;
    enum csl_code code = CSL_OK;
    bool is_whole = true; /* the old tree is the subtree that starts at `from` */
    while (code == CSL_OK && old_size > 0 && old_size != to) {
        uint64_t middle = from + split(to - from);
        if (old_size <= middle) {
            code = range_root(read, ctx, middle, to, hashes[n++], err);
            to = middle;
        } else {
            code = range_root(read, ctx, from, middle, hashes[n++], err);
            from = middle;
            is_whole = false;
        }
    }
    if (code == CSL_OK && !is_whole)
        code = range_root(read, ctx, from, to, hashes[n++], err);
    if (code != CSL_OK)
        return code;
    reverse(hashes, n);
    *count = n;
    return CSL_OK;
}

bool csl_merkle_verify_inclusion(const uint8_t leaf[CSL_SHA256_BYTES], uint64_t index,
                                 uint64_t size, const uint8_t (*hashes)[CSL_SHA256_BYTES],
                                 size_t count, const uint8_t root[CSL_SHA256_BYTES])
{
    if (index >= size)
        return false;
    uint64_t fn = index, sn = size - 1;
    uint8_t r[CSL_SHA256_BYTES];
    memcpy(r, leaf, sizeof(r));
    for (size_t i = 0; i < count; i++) {
        if (sn == 0)
            return false;
        if ((fn & 1) != 0 || fn == sn) {
            node(hashes[i], r, r);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            node(r, hashes[i], r);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(r, root, sizeof(r)) == 0;
}

bool csl_merkle_verify_consistency(uint64_t old_size, const uint8_t old_root[CSL_SHA256_BYTES],
                                   uint64_t size, const uint8_t root[CSL_SHA256_BYTES],
                                   const uint8_t (*hashes)[CSL_SHA256_BYTES], size_t count)
{
    if (old_size > size)
        return false;
    if (old_size == size)
        return count == 0 && memcmp(old_root, root, CSL_SHA256_BYTES) == 0;
    if (old_size == 0) {
        uint8_t empty[CSL_SHA256_BYTES];
        csl_merkle_root(&(struct csl_merkle){.size = 0}, empty);
        return count == 0 && memcmp(old_root, empty, sizeof(empty)) == 0;
    }
    uint64_t fn = old_size - 1, sn = size - 1;
    while ((fn & 1) != 0) {
        fn >>= 1;
        sn >>= 1;
    }
    size_t i = 0;
    bool is_power = (old_size & (old_size - 1)) == 0; /* then the old root starts the proof */
    if (!is_power && count == 0)
        return false;
    const uint8_t *seed = is_power ? old_root : hashes[i++];
    uint8_t fr[CSL_SHA256_BYTES], sr[CSL_SHA256_BYTES];
    memcpy(fr, seed, sizeof(fr));
    memcpy(sr, seed, sizeof(sr));
    for (; i < count; i++) {
        if (sn == 0)
            return false;
        if ((fn & 1) != 0 || fn == sn) {
            node(hashes[i], fr, fr);
            node(hashes[i], sr, sr);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            node(sr, hashes[i], sr);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(fr, old_root, sizeof(fr)) == 0 && memcmp(sr, root, sizeof(sr)) == 0;
}
