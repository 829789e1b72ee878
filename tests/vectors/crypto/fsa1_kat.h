/* Made by fsa1_kat.py; see there. Sites 3 and 7, block 5, chunk 2^33 + 1, threshold 3, five shares.
 */
#ifndef CSL_TESTS_FSA1_KAT_H
#define CSL_TESTS_FSA1_KAT_H

#define KAT_Z3              "1b7c1cc516006c50d93478479efa47caab40028cafd6e37662adeeb1958ba9a0"
#define KAT_Z7              "06b4d6323786833b157ec5a987e4de7bea99064a38aa53977a051a97e52ee8fc"
#define KAT_SID             "64eb475bb67ebf4efdb86e0912b354b04ded3b8edcd8e3b79cdcb2e3c7d430d6"
#define KAT_SECRET3         "6b2e3f7d2e8bed675d11eb9e448aeb8a9c4e982479afed23ddd8e38e83c4120d"
#define KAT_SECRET7         "04f7c6a7f5c983ce2b99047ccb7876183889bd10b6bcfb050bde15a2a2f8470c"
#define KAT_POINT3          "dccbc3f812ff702ad6cdab30a92b5c2b780dda3d61a87d7f2538dc09fd992071"
#define KAT_POINT7          "18adc8c56b26e5b7b2b698a684b7aa6cc38090a338993e0734698b367dfec07d"
#define KAT_CHANNEL3        "37def9ecc9c57ed91a17721ef61d19e4ffabfff98b2fbdeca38bb4e07250e2dc"
#define KAT_CHANNEL7        "f6778aa8ae81fd35eae67ef9ac099db206b71458cf908c59585ee1f0aa806d13"
#define KAT_CHANNEL_PUBLIC3 "c211c191923d5ce61993660d4b1993b9a38f1f2b17f4d94f26d30f4b90b25d1f"
#define KAT_CHANNEL_PUBLIC7 "9504ef246a8c53fa76bcffccdc89f16368afdbe6f131473275815efa5536fe20"
#define KAT_SELF_COEFFICIENTS                                                                      \
    "d9f00b6a18e07cc10b3c87e33c4c9b2e0387cbda63666ac65bacf3d3b630570648dfc289dc29bae8"             \
    "5bb9a1dc6ae7b9104101f392138a2b0d5702618196e27203048991957b01e3eae3cce6a98157f96e"             \
    "e89ffa98e2aab5f7c35c4e94ddf10f00"
#define KAT_SELF_COMMITMENTS                                                                       \
    "9a25aa6e7e7601d0399c1d28e723b3d55a3f31825047f8734b3dfe59944145104e6fcf76a70d425e"             \
    "87057cb7a0fd1f6e99d8a4eefab78dbecdb6dae5358c603e64a944bb1376e96f209e354ea1ef3801"             \
    "af3c79f30b9072d83a7f952c4a2edf49"
#define KAT_SELF_SHARES                                                                            \
    "25596089700b1a954bc20f6a298b4eae2c28b9065a9b4bcb760ba3e92a05da0979d3d7d3bf397d3e"             \
    "53e265441979f40b27099c64152698bf1924ef275abd7c0de88b7ceceb0794654cff91cf2d1cae32"             \
    "f22974f4950650a344f6d78e44593f014c2a3a8d293c83bae35283512468394c8e8a41b6db3c7376"             \
    "f7815d1eead82105b8da1a595e7338e5424042271e63b743fb2a04aae6c8013932c77fd64a3c2409"
#define KAT_MASK_SHARES                                                                            \
    "4d893eb18955580690fc53b793462a10f91c896ce689b1bc30dbf9782f29200f20a6e765885a39eb"             \
    "46b8b7f8e7e60982741d91c92fdf1c6b0bcfaecee9b8f50ee4843a9b2a9a901682441663416b8ae0"             \
    "0e50b03b55af2f2f6db40290b273930c9925375170145e8841a16ff69fd3ab2bc8b4e6c256fae908"             \
    "568bf5bc8959f9073f88dd8759c9a14085cec3b203206e63a04b345f34c04bf8c55387556f6a2701"
#define KAT_PRK_MASK    "935ed751c17b7715a84785c90ae8eab666519589f6ef258aaac692c1b78f1fd7"
#define KAT_PRK_SELF    "c07f8e11bd3e129d65024d0d10bd8dbc88d6e5f62cf21aba74b5a41d5db6a49b"
#define KAT_PRK_CHANNEL "03023b84a23cb3c2c38af62589325d499f85d6d9d0d2d1b00c666ad6a087ae30"
#define KAT_MASK_KEY                                                                               \
    "20f42104a2f6c8caf98e3939c7efb4fbca6d3b0129007ce8d8aa446d74f8ca10a6b670424d32696c"             \
    "312bbf1d"
#define KAT_SELF_KEY                                                                               \
    "d71e0b0208bc1e039b81b52fa9defc3596304f6428bc070573f5a07ff37fb8d2f0ed3e457276f3e1"             \
    "0417fdd7"
#define KAT_SEAL_KEY           "00f550eb6ca0dafb878d49f688a3c6efc8a028f24f52f122f7b5f5e04e92be0e"
#define KAT_COMMITMENTS_DIGEST "54460efe41e0935f961ed50310e4a523ac6a8346f4f6f2870ba544cf60ba676a"
#define KAT_SEALED                                                                                 \
    "643fcd8dc055f1e6d748cd089322f5ccfa10062c203cdb847e71991e8c72d89efc571904c3c8426b"             \
    "c4c71d8611a9611e25efaacf5639124415e8a2b8b7a4ef74dff18898cb5dd257bf976812152c1206"
#define KAT_MASK_WORDS        "cf355d97b60b9998961e82c6ac84b560abf5f2e66a15262b07642aee2c9ef14f"
#define KAT_MASK_CHUNK_DIGEST "aa64389b9953eeb36aacbf16b4319aaefe32ec81e7f9e2b71c107498eabe08c2"
#define KAT_MASK_CHUNK_NEGATED_DIGEST                                                              \
    "17b3ec0729551f551bd51d4f231670acafb0996153ad3b03b76f35c34785b344"

#endif
