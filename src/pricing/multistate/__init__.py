"""Multi-state models: who falls ill, who recovers, from transitions or from visits."""
