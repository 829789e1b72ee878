/* The entry decoder, the checkpoint reader, the export reader and the verifier. The first byte
 * chooses: 0 an entry, 1 a checkpoint, else an export. */
#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/ledger/export.h"
#include "privacy/ledger/verify.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static enum csl_code price(const struct csl_dp_event *events, size_t count, double delta,
                           double *epsilon, struct csl_err *err)
{
    (void)err;
    double e = delta;
    for (size_t i = 0; i < count; i++)
        e += (double)events[i].steps / events[i].noise_multiplier;
    *epsilon = e;
    return CSL_OK;
}

static void entry(const uint8_t *data, size_t size)
{
    struct csl_ledger_entry e;
    uint8_t again[CSL_LEDGER_ENTRY_MAX];
    char text[512];
    struct csl_msg json = {.n = 0};
    if (csl_ledger_entry_decode(&e, CSL_SPAN(data, size), NULL) != CSL_OK)
        return;
    size_t n = csl_ledger_entry_encode(&e, again); /* one way of writing */
    CSL_ASSERT(n == size && memcmp(again, data, n) == 0);
    csl_ledger_entry_text(&e, text, sizeof(text));
    CSL_ASSERT(csl_ledger_entry_json(&e, &json, NULL) == CSL_OK);
    csl_msg_release(&json);
}

static void export(const uint8_t *data, size_t size, const uint8_t *key)
{
    struct csl_ledger_verdict verdict;
    struct csl_ledger_difference difference;
    struct csl_ledger_verify_options options = {.public_key = key, .price = price};
    if (size == 0)
        return;
    uint8_t *copy = csl_alloc(size);
    CSL_ASSERT(copy != NULL);
    memcpy(copy, data, size);
    FILE *a = fmemopen(copy, size, "r"), *b = fmemopen(copy, size, "r");
    CSL_ASSERT(a != NULL && b != NULL);
    if (csl_ledger_verify(a, &options, &verdict, NULL) == CSL_E_CORRUPT)
        CSL_ASSERT(verdict.why[0] != '\0');
    if (csl_ledger_diff(a, b, &difference, NULL) == CSL_OK)
        CSL_ASSERT(difference.common == difference.size_a);
    fclose(a);
    fclose(b);
    csl_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* The corpus was signed with this seed. */
    static const uint8_t seed[CSL_SIGN_SEED_BYTES] = {1};
    static struct csl_sign_key key;
    static bool is_ready;
    struct csl_checkpoint head;
    if (!is_ready) {
        CSL_ASSERT(csl_crypto_init(NULL) == CSL_OK);
        csl_sign_from_seed(&key, seed);
        is_ready = true;
    }
    if (size == 0)
        return 0;
    if (data[0] == 0)
        entry(data + 1, size - 1);
    else if (data[0] != 1)
        export(data + 1, size - 1, key.public_key);
    else if (csl_checkpoint_read(&head, CSL_SPAN(data + 1, size - 1), key.public_key, NULL) ==
             CSL_OK)
        CSL_ASSERT(csl_checkpoint_verify(&head, key.public_key));
    return 0;
}
