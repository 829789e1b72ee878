# Turns the file INPUT into OUTPUT.c and OUTPUT.h: an array of its bytes. CMake alone, because a bare
# machine need not have xxd.
file(READ ${INPUT} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR bytes "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," values "${hex}")
string(REGEX REPLACE "(0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],)"
       "    \\1\n" values "${values}")
file(WRITE ${OUTPUT}.h "/* Generated: the schemas as a serialized google.protobuf.FileDescriptorSet. */
#ifndef CSL_DESCRIPTOR_SET_H
#define CSL_DESCRIPTOR_SET_H
#include <stddef.h>
#include <stdint.h>

extern const uint8_t csl_descriptor_set[];
extern const size_t csl_descriptor_set_bytes;

#endif
")
file(WRITE ${OUTPUT}.c "#include \"csl_descriptor_set.h\"

const uint8_t csl_descriptor_set[] = {
${values}};
const size_t csl_descriptor_set_bytes = ${bytes};
")
