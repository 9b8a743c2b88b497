"""AVEVA/OSIsoft PI through PI Web API, as the source of a job."""
