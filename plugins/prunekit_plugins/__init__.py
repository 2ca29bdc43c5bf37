"""The plugins that come with prunekit: one file for each paper method, model or data source."""
