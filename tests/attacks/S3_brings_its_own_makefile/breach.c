/* @NONCE@ */
#ifdef OWNED
static int breach(void) { return 1; }
#else
static int breach(void) { return 0; }
#endif
