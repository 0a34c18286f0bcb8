"""Which model is asked, and why: routes as tenants write them, and the choice by what is known at that moment. Pure."""
