/* cli/export/safetensors.c - the format has no alignment of its own: all values are float32 and lie
 * in the order of the model, so an aligned start aligns them all. */
#include "base/buf.h"
#include "base/json.h"
#include "base/le.h"
#include "base/str.h"
#include "cli/export/export.h"
#include "cli/export/out_file.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define HEADER_BYTES_MAX (1u << 20)
#define ALIGN_BYTES      8u

static void put_digest(struct csl_json *j, const char *key, const uint8_t digest[CSL_DIGEST_BYTES])
{
    char hex[2 * CSL_DIGEST_BYTES + 1];
    csl_hex(digest, CSL_DIGEST_BYTES, hex);
    csl_json_put_str(j, key, hex);
}

/* Values of the metadata are texts, also the number of rounds. */
static void put_metadata(struct csl_json *j, const struct csl_model_file *m)
{
    char round[24];
    snprintf(round, sizeof(round), "%" PRIu64, m->info.round);
    csl_json_key(j, "__metadata__");
    csl_json_object(j);
    csl_json_put_str(j, "format", "consilium.weights/1");
    csl_json_put_str(j, "study", m->info.study);
    put_digest(j, "study_digest", m->info.study_digest);
    put_digest(j, "schema_digest", m->schema->digest);
    put_digest(j, "model_digest", m->digest);
    csl_json_put_str(j, "round", round);
    csl_json_end(j);
}

static void put_tensor(struct csl_json *j, const struct csl_tensor_spec *t)
{
    csl_json_key(j, t->name);
    csl_json_object(j);
    csl_json_put_str(j, "dtype", "F32");
    csl_json_key(j, "shape");
    csl_json_array(j);
    for (uint32_t i = 0; i < t->rank; i++)
        csl_json_u64(j, t->shape[i]);
    csl_json_end(j);
    csl_json_key(j, "data_offsets");
    csl_json_array(j);
    csl_json_u64(j, t->first * sizeof(float));
    csl_json_u64(j, (t->first + t->count) * sizeof(float));
    csl_json_end(j);
    csl_json_end(j);
}

static enum csl_code put_header(struct csl_buf *out, const struct csl_model_file *m,
                                struct csl_err *err)
{
    struct csl_json j;
    csl_json_init(&j, out, false);
    csl_json_object(&j);
    put_metadata(&j, m);
    for (uint32_t i = 0; i < m->schema->tensor_count; i++)
        put_tensor(&j, &m->schema->tensors[i]);
    csl_json_end(&j);
    while (out->n % ALIGN_BYTES != 0 && out->status == CSL_OK)
        csl_buf_u8(out, ' ');
    return csl_buf_status(out, err);
}

enum csl_code csl_export_safetensors(const struct csl_model_file *m, const char *path,
                                     struct csl_err *err)
{
    char tmp[CSL_PATH_MAX];
    FILE *f = NULL;
    struct csl_buf header;
    uint8_t length[8];

    csl_buf_init(&header, HEADER_BYTES_MAX);
    enum csl_code code = csl_export__check_names(m->schema, path, err);
    if (code == CSL_OK)
        code = put_header(&header, m, err);
    if (code == CSL_OK)
        code = csl_export__open(path, tmp, &f, err);
    if (code == CSL_OK) {
        csl_store_le64(length, header.n);
        if (fwrite(length, 1, sizeof(length), f) != sizeof(length) ||
            fwrite(header.p, 1, header.n, f) != header.n ||
            fwrite(m->parameters, sizeof(float), m->schema->parameters, f) != m->schema->parameters)
            code = CSL_FAIL_SYS(err, CSL_E_IO, "%s: cannot be written", tmp);
        code = csl_export__close(path, tmp, f, code, err);
    }
    csl_buf_release(&header);
    return code;
}
