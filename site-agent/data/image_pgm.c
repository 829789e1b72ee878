/* "P5", blanks, width, blanks, height, blanks, greatest value, one blank, then the pixels: one byte
 * each, or two, the greater first, when the greatest value is above 255. '#' in the header starts a
 * comment to the end of the line. */
#include "site-agent/data/image.h"

#include "base/banned.h"

struct cursor {
    struct csl_span b;
    size_t at;
    uint32_t line;
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_blanks(struct cursor *c)
{
    bool in_comment = false;
    for (; c->at < c->b.n; c->at++) {
        uint8_t byte = c->b.p[c->at];
        if (byte == '\n') {
            c->line++;
            in_comment = false;
        } else if (byte == '#') {
            in_comment = true;
        } else if (!in_comment && !is_blank(byte)) {
            return;
        }
    }
}

/* A number of at most `most`, with blanks or a comment before it. */
static bool take_number(struct cursor *c, uint32_t most, uint32_t *out)
{
    uint32_t v = 0;
    size_t before = c->at;
    skip_blanks(c);
    if (c->at == before)
        return false;
    size_t start = c->at;
    for (; c->at < c->b.n && c->b.p[c->at] >= '0' && c->b.p[c->at] <= '9'; c->at++) {
        v = 10 * v + (uint32_t)(c->b.p[c->at] - '0');
        if (v > most)
            return false;
    }
    *out = v;
    return c->at > start && v > 0;
}

enum csl_code csl_image_read_pgm(struct csl_image *out, const char *name, struct csl_span bytes,
                                 struct csl_err *err)
{
    struct cursor c = {bytes, 2, 1};
    uint32_t width, height, most;
    struct csl_image image;
    if (bytes.n < 2 || bytes.p[0] != 'P' || bytes.p[1] != '5')
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s:1: a PGM starts with P5", name);
    if (!take_number(&c, 1000000, &width) || !take_number(&c, 1000000, &height) ||
        !take_number(&c, 65535, &most) || c.at == bytes.n || !is_blank(bytes.p[c.at]))
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "%s:%u: width, height and a greatest value of 1 to 65535 would be right "
                        "in the header of a PGM",
                        name, c.line);
    c.at++;
    enum csl_code code = csl_image_new__(&image, name, height, width, 1, err);
    if (code != CSL_OK)
        return code;
    size_t pixels = (size_t)height * width, each = most > 255 ? 2 : 1;
    const uint8_t *p = bytes.p + c.at;
    if (bytes.n - c.at != pixels * each) {
        csl_image_release(&image);
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: %zu bytes of pixels; %zu would be right", name,
                        bytes.n - c.at, pixels * each);
    }
    bool fits = true;
    for (size_t i = 0; i < pixels; i++) {
        uint32_t v = each == 2 ? (uint32_t)p[2 * i] << 8 | p[2 * i + 1] : p[i];
        fits = fits && v <= most;
        image.pixels[i] = (uint16_t)v;
    }
    if (!fits) {
        csl_image_release(&image);
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s: a pixel is above the greatest value %u", name,
                        most);
    }
    *out = image;
    return CSL_OK;
}
