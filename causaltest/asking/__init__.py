"""What a claim can say: plain frozen data, without torch and cheap to import."""
