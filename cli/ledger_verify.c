/* cli/ledger_verify.c - `consilium ledger verify`: is an export what it claims to be, and does it
 * continue the heads that others kept? */
#include "base/progress.h"
#include "base/str.h"
#include "cli/ledger_verbs.h"
#include "privacy/dp/account.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

#define PEERS_MAX 16

struct verification {
    const char *path;
    FILE *in;
    uint8_t key[CSL_SIGN_PUBLIC_BYTES];
    bool is_key_given, is_json;
    struct csl_ledger_peer peers[PEERS_MAX];
    struct csl_checkpoint heads[CSL_CLI_HEADS_MAX];
    size_t peer_count, head_count;
    struct csl_progress progress;
    struct csl_ledger_verdict verdict;
};

static void count_entry(void *ctx, const struct csl_ledger_entry *e)
{
    struct verification *v = ctx;
    long at = ftell(v->in);

    (void)e;
    if (at > 0)
        csl_progress_update(&v->progress, (uint64_t)at);
}

/* --- what the caller knows --- */

/* The next line of a list; false: there is none, or it is too long. */
static bool next_line(const char **list, char *out, size_t capacity)
{
    size_t n = strcspn(*list, "\n");

    if (n == 0 || n >= capacity)
        return false;
    memcpy(out, *list, n);
    out[n] = '\0';
    *list += n + ((*list)[n] == '\n' ? 1 : 0);
    return true;
}

static bool read_peer(struct verification *v, char *text)
{
    char *equals = strchr(text, '=');
    struct csl_ledger_peer *peer = &v->peers[v->peer_count];

    if (equals == NULL || v->peer_count == PEERS_MAX)
        return false;
    *equals = '\0';
    if (!csl_id_valid(text) || !csl_str_copy(peer->id, sizeof(peer->id), text) ||
        !csl_unhex(equals + 1, peer->public_key, sizeof(peer->public_key)))
        return false;
    v->peer_count++;
    return true;
}

static bool read_peers(struct verification *v, const char *list)
{
    char text[256];
    bool is_good = true;

    while (is_good && *list != '\0')
        is_good = next_line(&list, text, sizeof(text)) && read_peer(v, text);
    return is_good;
}

static enum csl_code read_heads(struct verification *v, const char *list, struct csl_err *err)
{
    char path[1024];
    enum csl_code code = CSL_OK;

    while (code == CSL_OK && *list != '\0') {
        if (v->head_count == CSL_CLI_HEADS_MAX || !next_line(&list, path, sizeof(path)))
            return CSL_FAIL(err, CSL_E_INVAL, "--head: at most %d files would be right",
                            CSL_CLI_HEADS_MAX);
        code = csl_cli_ledger_read_head(&v->heads[v->head_count], path, v->key, err);
        v->head_count++;
    }
    return code;
}

static uint64_t latest_known(const struct verification *v)
{
    uint64_t size = 0;

    for (size_t i = 0; i < v->head_count; i++)
        size = v->heads[i].size > size ? v->heads[i].size : size;
    return size;
}

/* --- the verdict --- */

static void put_verdict_json(const struct verification *v, bool is_sound, struct csl_buf *out)
{
    const struct csl_ledger_verdict *d = &v->verdict;
    char key[2 * CSL_SIGN_PUBLIC_BYTES + 1], root[2 * CSL_SHA256_BYTES + 1];
    struct csl_json j;

    csl_hex(v->key, sizeof(v->key), key);
    csl_hex(d->head.root, sizeof(d->head.root), root);
    csl_json_init(&j, out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", "consilium.ledger-verdict/1");
    csl_json_put_bool(&j, "sound", is_sound);
    csl_json_put_str(&j, "public_key", key);
    csl_json_put_str(&j, "public_key_from", v->is_key_given ? "caller" : "export");
    csl_json_put_u64(&j, "entries", d->entries);
    csl_json_put_u64(&j, "charges", d->charges);
    csl_json_put_u64(&j, "refusals", d->refusals);
    csl_json_put_u64(&j, "recoveries", d->recoveries);
    csl_json_put_u64(&j, "countersignatures", d->countersignatures + d->countersignatures_unknown);
    csl_json_put_u64(&j, "countersignatures_by_known_peers", d->countersignatures);
    csl_json_put_u64(&j, "countersigned_size", d->countersigned_size);
    csl_json_put_u64(&j, "known_heads", v->head_count);
    csl_json_put_u64(&j, "known_size", latest_known(v));
    if (is_sound) {
        csl_json_put_str(&j, "site", d->site);
        csl_json_put_u64(&j, "size", d->head.size);
        csl_json_put_str(&j, "root", root);
    } else {
        csl_json_put_u64(&j, "bad_entry", d->bad_entry);
        csl_json_put_str(&j, "why", d->why);
    }
    csl_json_end(&j);
    csl_buf_str(out, "\n");
}

/* What the heads and keys that the caller has say beyond the export itself, and what they cannot.
 */
static void put_reach(const struct verification *v, struct csl_buf *out)
{
    const struct csl_ledger_verdict *d = &v->verdict;
    const uint64_t last = d->head.size - 1; /* a sound export has an entry */

    if (v->peer_count > 0)
        csl_buf_printf(out,
                       "  %" PRIu64 " countersignature%s by a known peer, the latest of a head "
                       "of %" PRIu64 " entries\n",
                       d->countersignatures, csl_str_plural(d->countersignatures),
                       d->countersigned_size);
    if (v->head_count > 0)
        csl_buf_printf(out,
                       "  continues the %zu known head%s, the latest of %" PRIu64 " entries; "
                       "complete up to entry %" PRIu64 "; what came after cannot be excluded "
                       "without a later head\n",
                       v->head_count, csl_str_plural(v->head_count), latest_known(v), last);
    else
        csl_buf_printf(out,
                       "  complete up to entry %" PRIu64 "; what came after cannot be excluded "
                       "without a head (--head)\n",
                       last);
    if (!v->is_key_given)
        csl_buf_str(out, "  This is the key that the export names itself: compare it with the one "
                         "the site gave you.\n");
}

static void put_verdict_text(const struct verification *v, bool is_sound, struct csl_buf *out)
{
    const struct csl_ledger_verdict *d = &v->verdict;
    const uint64_t signatures = d->countersignatures + d->countersignatures_unknown;
    char key[2 * CSL_SIGN_PUBLIC_BYTES + 1], root[2 * CSL_SHA256_BYTES + 1];

    csl_hex(v->key, sizeof(v->key), key);
    csl_hex(d->head.root, sizeof(d->head.root), root);
    if (!is_sound) {
        csl_buf_printf(out,
                       "%s: NOT sound. The first bad entry is %" PRIu64 ": %s\n%" PRIu64
                       " entr%s before it hold%s.\n",
                       v->path, d->bad_entry, d->why, d->entries, d->entries == 1 ? "y" : "ies",
                       d->entries == 1 ? "s" : "");
        return;
    }
    csl_buf_printf(out,
                   "%s: sound. site %s, %" PRIu64 " entries: %" PRIu64 " charge%s, %" PRIu64
                   " refusal%s, %" PRIu64 " recover%s, %" PRIu64 " countersignature%s\n"
                   "  head  %" PRIu64 " %s\n  key   %s\n",
                   v->path, d->site, d->entries, d->charges, csl_str_plural(d->charges),
                   d->refusals, csl_str_plural(d->refusals), d->recoveries,
                   d->recoveries == 1 ? "y" : "ies", signatures, csl_str_plural(signatures),
                   d->head.size, root, key);
    put_reach(v, out);
}

static int run(struct verification *v, const char *heads)
{
    const struct csl_ledger_visitor visitor = {.ctx = v, .entry = count_entry};
    struct csl_err err = {0};
    struct csl_buf out;
    struct stat st;
    enum csl_code code = CSL_OK;

    if (!v->is_key_given)
        code = csl_cli_ledger_claimed_key(v->in, v->key, &err);
    if (code == CSL_OK)
        code = read_heads(v, heads, &err);
    if (code != CSL_OK)
        return csl_cli_fail_as(&csl_doc_ledger, &err, v->is_json);
    const struct csl_ledger_verify_options o = {.public_key = v->key,
                                                .price = csl_account_epsilon,
                                                .peers = v->peers,
                                                .peer_count = v->peer_count,
                                                .known_heads = v->heads,
                                                .known_head_count = v->head_count,
                                                .visitor = &visitor};
    csl_progress_start(&v->progress, stderr, "verifying", "bytes",
                       fstat(fileno(v->in), &st) == 0 ? (uint64_t)st.st_size : 0);
    code = csl_ledger_verify(v->in, &o, &v->verdict, &err);
    csl_progress_finish(&v->progress);
    bool is_sound = code == CSL_OK;
    if (!is_sound && (code != CSL_E_CORRUPT || v->verdict.bad_entry == CSL_LEDGER_NONE))
        return csl_cli_fail_as(&csl_doc_ledger, &err, v->is_json);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (v->is_json)
        put_verdict_json(v, is_sound, &out);
    else
        put_verdict_text(v, is_sound, &out);
    return csl_cli_print(&out, is_sound ? CSL_EXIT_DONE : CSL_EXIT_NEGATIVE);
}

int csl_cli_ledger_verify(const char *path, const struct csl_cli_verify *c, bool is_json)
{
    struct verification v = {
        .path = path, .is_key_given = c->public_key[0] != 0, .is_json = is_json};
    struct csl_err err = {0};

    if (v.is_key_given && !csl_unhex(c->public_key, v.key, sizeof(v.key)))
        return csl_cli_misuse(&csl_doc_ledger,
                              "--public-key: found no key; 64 hexadecimal digits would be right");
    if (!read_peers(&v, c->peers))
        return csl_cli_misuse(&csl_doc_ledger,
                              "--peer: found no peer and key; ID=HEX with 64 hexadecimal digits, "
                              "at most %d of them, would be right",
                              PEERS_MAX);
    if (csl_cli_ledger_open_file(&v.in, path, &err) != CSL_OK)
        return csl_cli_fail_as(&csl_doc_ledger, &err, is_json);
    int status = run(&v, c->heads);
    (void)fclose(v.in);
    return status;
}
