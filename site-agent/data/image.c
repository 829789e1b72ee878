#include "site-agent/data/image.h"

#include "base/mem.h"

#include <string.h>

#include "base/banned.h"

void csl_image_release(struct csl_image *i)
{
    csl_free(i->pixels);
    memset(i, 0, sizeof(*i));
}

enum csl_code csl_image_new__(struct csl_image *out, const char *name, uint64_t height,
                              uint64_t width, uint32_t channels, struct csl_err *err)
{
    if (height == 0 || width == 0 || height > CSL_IMAGE_VALUES_MAX ||
        width > CSL_IMAGE_VALUES_MAX || height * width * channels > CSL_IMAGE_VALUES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT,
                        "%s: %llu x %llu pixels of %u channel(s); 1 to %d values would be right (a "
                        "smaller image)",
                        name, (unsigned long long)height, (unsigned long long)width, channels,
                        CSL_IMAGE_VALUES_MAX);
    uint16_t *pixels = csl_alloc_array((size_t)(height * width * channels), sizeof(*pixels));
    if (pixels == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the pixels of %s", name);
    *out = (struct csl_image){(uint32_t)height, (uint32_t)width, channels, pixels};
    return CSL_OK;
}

enum csl_code csl_image_read(struct csl_image *out, const char *name, struct csl_span bytes,
                             struct csl_err *err)
{
    if (bytes.n >= 2 && bytes.p[0] == 'P' && bytes.p[1] == '5')
        return csl_image_read_pgm(out, name, bytes, err);
    if (bytes.n >= 4 && memcmp(bytes.p, "\x89PNG", 4) == 0)
        return csl_image_read_png(out, name, bytes, err);
    return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                    "%s: neither a PNG nor a binary PGM (P5); one of them would be right", name);
}
