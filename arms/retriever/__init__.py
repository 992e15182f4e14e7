"""Search over folders of documents: by words (BM25), by meaning (vectors), or both; every hit can be checked."""
