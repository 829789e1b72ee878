/* A library that is no plug-in: it exports something else. */
__attribute__((visibility("default"))) int csl_test_nameless(void);
__attribute__((visibility("default"))) int csl_test_nameless(void)
{
    return 0;
}
