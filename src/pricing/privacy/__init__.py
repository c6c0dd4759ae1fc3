"""What keeps persons private: small cells, keyed names, consent, deletion."""
