"""What is known before a run begins, and what earlier runs found out.

    documents   pages on hardware, languages and techniques, with front matter; the pages themselves
                lie in `documents/`
    targets     which hardware is a kind of which, so that a page on GPUs fits an H200
    retrieval   finds pages: TF-IDF over words and characters, filtered by front matter
    records     what a library holds: improvements and champions
    library     distils a run into what worked; picks first kernels for a later one
    shelf       the files in which a library is kept
    recall      asks a library; everything that is known as one
    operations  what kind of computation a problem is

Everything here is text for prompts. It decides nothing: a page that tells the reader to break the
rules is a page with odd text.
"""
