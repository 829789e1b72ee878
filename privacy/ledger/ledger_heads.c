/* Heads known elsewhere, recovery, countersignatures, proofs. */
#include "privacy/ledger/ledger_internal.h"

#include "base/str.h"

#include <string.h>

static enum csl_code read_leaf(void *ctx, uint64_t index, uint8_t leaf[CSL_SHA256_BYTES],
                               struct csl_err *err)
{
    struct csl_ledger *l = ctx;
    struct csl_span bytes;
    uint8_t signature[CSL_SIGN_SIGNATURE_BYTES];
    csl_ledger_store__seek(l->store, index);
    enum csl_code code = csl_ledger_store__next(l->store, &bytes, signature, err);
    if (code == CSL_E_END)
        return CSL_FAIL(err, CSL_E_CORRUPT, "entry %llu is gone", (unsigned long long)index);
    if (code == CSL_OK)
        csl_merkle_leaf(bytes.p, bytes.n, leaf);
    return code;
}

enum csl_code csl_ledger__root_at(struct csl_ledger *l, uint64_t size,
                                  uint8_t out[CSL_SHA256_BYTES], struct csl_err *err)
{
    if (csl_merkle_recent_root(&l->rules->tree, size, out))
        return CSL_OK;
    struct csl_merkle tree = {.size = 0};
    while (tree.size < size) {
        uint8_t leaf[CSL_SHA256_BYTES];
        enum csl_code code = read_leaf(l, tree.size, leaf, err);
        if (code != CSL_OK)
            return code;
        csl_merkle_add(&tree, leaf);
    }
    csl_merkle_root(&tree, out);
    return CSL_OK;
}

static bool is_given_up(const struct csl_rules *s, const struct csl_checkpoint *head)
{
    for (uint32_t i = 0; i < s->recovered_count; i++)
        if (s->recovered[i].size == head->size &&
            memcmp(s->recovered[i].root, head->root, CSL_SHA256_BYTES) == 0)
            return true;
    return false;
}

enum csl_code csl_ledger_check_peer_head(struct csl_ledger *l, const struct csl_checkpoint *head,
                                         struct csl_err *err)
{
    uint8_t root[CSL_SHA256_BYTES] = {0};
    if (strcmp(head->origin, l->rules->origin) != 0 ||
        !csl_checkpoint_verify(head, l->rules->public_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "the head is not signed by this ledger's key");
    if (is_given_up(l->rules, head))
        return CSL_OK;
    bool is_ahead = head->size > l->rules->count;
    enum csl_code code = is_ahead ? CSL_OK : csl_ledger__root_at(l, head->size, root, err);
    if (code != CSL_OK)
        return code;
    if (!is_ahead && memcmp(root, head->root, sizeof(root)) == 0)
        return CSL_OK;
    if (l->trouble[0] == '\0')
        csl_ledger__set_trouble(l, head->size, head->root,
                                is_ahead ? "the ledger is behind a head that a peer knows"
                                         : "the ledger is not the one that a peer knows");
    return CSL_FAIL(err, CSL_E_STATE, "%s", l->trouble);
}

enum csl_code csl_ledger_recover(struct csl_ledger *l, uint64_t size,
                                 const uint8_t root[CSL_SHA256_BYTES], double epsilon, double delta,
                                 struct csl_err *err)
{
    if (l->is_read_only || l->is_broken)
        return csl_ledger__ready(l, err);
    if (l->trouble[0] == '\0')
        return CSL_FAIL(err, CSL_E_STATE, "there is nothing to recover from");
    if (size != l->trouble_size || memcmp(root, l->trouble_root, CSL_SHA256_BYTES) != 0)
        return CSL_FAIL(err, CSL_E_INVAL, "another head is to be given up: %s", l->trouble);
    if (!(epsilon >= 0) || !(delta >= 0))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "a loss of epsilon %g and delta %g; 0 and above, or "
                        "infinity, would be right",
                        epsilon, delta);
    struct csl_ledger_entry e = {.kind = CSL_LEDGER_RECOVER,
                                 .u.recover = {.size = size, .epsilon = epsilon, .delta = delta}};
    memcpy(e.u.recover.root, root, CSL_SHA256_BYTES);
    enum csl_code code = csl_ledger__append(l, &e, csl_ledger__time(l), err);
    if (code == CSL_OK)
        l->trouble[0] = '\0';
    return code;
}

enum csl_code csl_ledger_countersign(const struct csl_ledger *l,
                                     const struct csl_checkpoint *theirs,
                                     const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
                                     uint8_t out[CSL_SIGN_SIGNATURE_BYTES], struct csl_err *err)
{
    if (l->is_read_only)
        return csl_ledger__ready(l, err);
    if (memchr(theirs->origin, 0, sizeof(theirs->origin)) == NULL || theirs->origin[0] == '\0' ||
        !csl_rules__is_text(theirs->origin))
        return CSL_FAIL(err, CSL_E_INVAL, "countersign: the origin is no text without blanks");
    if (!csl_checkpoint_verify(theirs, public_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "countersign: the head is not signed by its owner");
    csl_checkpoint_countersign(theirs, &l->key, out);
    return CSL_OK;
}

enum csl_code csl_ledger_store_countersignature(struct csl_ledger *l, const char *peer,
                                                const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
                                                uint64_t size,
                                                const uint8_t signature[CSL_SIGN_SIGNATURE_BYTES],
                                                struct csl_err *err)
{
    struct csl_checkpoint head = {.size = size};
    enum csl_code code = csl_ledger__ready(l, err);
    if (code != CSL_OK)
        return code;
    if (!csl_id_valid(peer))
        return CSL_FAIL(err, CSL_E_INVAL, "countersignature: the peer's name is no id");
    memcpy(head.origin, l->rules->origin, sizeof(head.origin));
    if (!csl_merkle_recent_root(&l->rules->tree, size, head.root))
        return CSL_FAIL(err, CSL_E_STATE,
                        "countersignature of size %llu; not beyond %llu and not more than %d "
                        "entries back would be right",
                        (unsigned long long)size, (unsigned long long)l->rules->count,
                        CSL_MERKLE_RECENT);
    if (!csl_checkpoint_verify_countersignature(&head, public_key, signature))
        return CSL_FAIL(err, CSL_E_CRYPTO, "the countersignature of %s does not verify", peer);
    struct csl_ledger_entry e = {.kind = CSL_LEDGER_COUNTERSIGN, .u.countersign.size = size};
    csl_str_copy(e.u.countersign.peer, sizeof(e.u.countersign.peer), peer);
    memcpy(e.u.countersign.public_key, public_key, CSL_SIGN_PUBLIC_BYTES);
    memcpy(e.u.countersign.root, head.root, CSL_SHA256_BYTES);
    memcpy(e.u.countersign.signature, signature, CSL_SIGN_SIGNATURE_BYTES);
    return csl_ledger__append(l, &e, csl_ledger__time(l), err);
}

static enum csl_code check_size(const struct csl_ledger *l, uint64_t size, struct csl_err *err)
{
    if (size <= l->rules->count)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_INVAL, "a proof for %llu entries; the ledger has %llu",
                    (unsigned long long)size, (unsigned long long)l->rules->count);
}

enum csl_code csl_ledger_prove_inclusion(struct csl_ledger *l, uint64_t index, uint64_t size,
                                         uint8_t hashes[64][CSL_SHA256_BYTES], size_t *count,
                                         struct csl_err *err)
{
    enum csl_code code = check_size(l, size, err);
    return code != CSL_OK
               ? code
               : csl_merkle_prove_inclusion(read_leaf, l, index, size, hashes, count, err);
}

enum csl_code csl_ledger_prove_consistency(struct csl_ledger *l, uint64_t old_size, uint64_t size,
                                           uint8_t hashes[64][CSL_SHA256_BYTES], size_t *count,
                                           struct csl_err *err)
{
    enum csl_code code = check_size(l, size, err);
    return code != CSL_OK
               ? code
               : csl_merkle_prove_consistency(read_leaf, l, old_size, size, hashes, count, err);
}
